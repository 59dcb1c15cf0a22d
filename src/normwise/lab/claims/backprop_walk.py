"""Backpropagation computes every partial derivative once."""

from collections import Counter
from fractions import Fraction
from typing import Any

import pandas as pd
import torch

from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.result import Number, Result
from normwise.lab.verdicts import both, within
from normwise.report import Graph, Lines

_INPUTS = {"x₁": 1, "w₁": 2, "x₂": -2, "w₂": 3}
_NODES = {"y₁": "y₁ = x₁ · w₁", "y₂": "y₂ = x₂²", "y₃": "y₃ = y₂ − w₂", "y₄": "y₄ = y₁ + 3·y₃"}
_EDGES = ("x₁ y₁", "w₁ y₁", "x₂ y₂", "y₂ y₃", "w₂ y₃", "y₁ y₄", "y₃ y₄")
_TOLERANCE = 1e-12  # of numbers of the order of 1, in float64
_DEPTH = 16  # of the chain of steps that each use their input twice


class BackpropWalk(Claim):
    """A graph that can be followed by hand, and one that has too many paths for that."""

    name = "backprop-walk"
    statement = (
        "Backpropagation walks the graph once, from the output to the inputs, and so computes "
        "every partial derivative, each once."
    )
    source = "Rumelhart, Hinton and Williams (1986), Learning representations by back-propagation"
    formula = (
        r"\frac{\partial y}{\partial u} = \sum_{v \,:\, u \to v}"
        r"\frac{\partial y}{\partial v}\,\frac{\partial v}{\partial u}, \qquad "
        r"y = x_1 w_1 + 3\,(x_2^2 - w_2)"
    )
    experiment = (
        "The graph of y = x₁w₁ + 3(x₂² − w₂) is walked at x₁ = 1, w₁ = 2, x₂ = −2, w₂ = 3, and "
        "every derivative by an input compared with the difference quotient in exact fractions. "
        f"Then chains of 1 to {_DEPTH} steps u ← (u + sin u)/2 are walked, whose steps use their "
        "input twice, so that the number of paths doubles with each; the derivative is compared "
        "with the sum over all paths."
    )
    measured = (
        "The largest differences from difference quotients and sums over paths, and how often "
        "autograd visits a node of its graph at most."
    )
    refuted_by = "A derivative that is wrong, or a node that is visited twice."
    criterion = (
        f"Holds where no difference exceeds {_TOLERANCE} and no node is visited more than once; "
        "fails otherwise."
    )
    errata = (6, 7)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:  # noqa: ARG002
        """Walk both graphs."""
        nodes = _walk()
        error = max(abs(nodes[name].grad.item() - _quotient(name)) for name in _INPUTS)
        chains = [_chain(depth) for depth in range(1, _DEPTH + 1)]
        differs, most = (max(chain[what] for chain in chains) for what in ("difference", "most"))
        return self.result(
            both(within(error, _TOLERANCE), within(differs, _TOLERANCE), within(most, 1)),
            [
                Number("largest |gradient − difference quotient|", error),
                Number("largest relative difference of walk and sum over paths", differs),
                Number("visits of a node, at most", most),
                Number(f"visits in the chain of {_DEPTH} steps", chains[-1]["visits"]),
                Number(f"paths through the chain of {_DEPTH} steps", chains[-1]["paths"]),
            ],
            [_graph(nodes), _costs(chains)],
            [
                "Forward mode, from the inputs to the output, gives the derivatives by one input; "
                f"it would have to run {len(_INPUTS)} times here."
            ],
        )


def _forward(x1: Any, w1: Any, x2: Any, w2: Any) -> tuple[Any, Any, Any, Any]:
    y1 = x1 * w1
    y2 = x2 * x2
    y3 = y2 - w2
    return y1, y2, y3, y1 + 3 * y3


def _walk() -> dict[str, Any]:
    """Return every node by name, its gradient known."""
    inputs = {
        name: torch.tensor(float(value), dtype=torch.float64, requires_grad=True)
        for name, value in _INPUTS.items()
    }
    nodes = inputs | dict(zip(_NODES, _forward(*inputs.values()), strict=True))
    for node in nodes.values():
        node.retain_grad()
    nodes["y₄"].backward(retain_graph=True)
    return nodes


def _quotient(name: str) -> float:
    """Return the central difference quotient of y, which is exact for a square."""
    step = Fraction(1, 10)
    up, down = (
        _forward(*(value + move * (key == name) for key, value in _INPUTS.items()))[-1]
        for move in (step, -step)
    )
    return float((up - down) / (2 * step))


def _chain(depth: int) -> dict[str, float]:
    """Walk back over a chain, and add up all its paths."""
    start = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    u, paths = start, torch.ones(1, dtype=torch.float64)
    for _ in range(depth):
        paths = torch.cat([paths, paths * u.detach().cos()]) / 2  # through u, and through sin u
        u = (u + u.sin()) / 2
    visits: Counter[Any] = Counter()
    for node in _reachable(u.grad_fn):
        node.register_hook(lambda *_, node=node: visits.update([node]))
    u.backward()
    assert start.grad is not None
    return {
        "visits": visits.total(),
        "most": max(visits.values()),
        "paths": len(paths),
        "difference": abs(start.grad / paths.sum() - 1).item(),
    }


def _reachable(root: Any) -> set[Any]:
    """Return autograd's nodes from the output to the inputs."""
    found, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [following for following, _ in node.next_functions]
    return found


def _graph(nodes: dict[str, Any]) -> Graph:
    table = [
        {
            "node": name,
            "text": _NODES.get(name, name),
            "value": node.item(),
            "gradient": node.grad.item(),
        }
        for name, node in nodes.items()
    ]
    edges = [
        {
            "source": source,
            "target": target,
            "derivative": torch.autograd.grad(nodes[target], nodes[source], retain_graph=True)[0],
        }
        for source, target in map(str.split, _EDGES)
    ]
    return Graph(
        "y = x₁w₁ + 3(x₂² − w₂), forward and backward",
        "Forward, each value is computed from those that lead to it. Backward, from the right, "
        "each gradient is the sum over the arrows that leave the node: the gradient at the arrow's "
        "head times the derivative on the arrow.",
        pd.DataFrame(table),
        pd.DataFrame(edges),
    )


def _costs(chains: list[dict[str, float]]) -> Lines:
    frame = pd.DataFrame(chains, index=range(1, len(chains) + 1))
    table = pd.concat(
        pd.DataFrame({"series": name, "x": frame.index, "y": frame[column]})
        for name, column in (("all paths", "paths"), ("nodes visited", "visits"))
    )
    return Lines(
        "What a chain of steps u ← (u + sin u)/2 costs",
        "Every step doubles the paths from the output to the input. The walk backward visits each "
        "node once, because it adds up what comes in before it goes on.",
        "steps in the chain",
        "paths or visits",
        table,
        log="y",
    )
