"""INI102: initial weights that do not keep the signal's size."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, log

import numpy as np

from normwise.evidence import Evidence, Graph, Level, Module, Node
from normwise.rules.finding import Finding
from normwise.rules.flow import ELEMENTWISE, LAYERS, feeding, measured_layers
from normwise.rules.rule import NotEnough, Rule

Chain = list[Module]


@dataclass(frozen=True)
class InitialVarianceUnfit(Rule):
    """With its initial weights, a chain of layers loses the signal or the gradient, or blows it up.

    What it does:
        Follows chains of three and more hidden layers with nothing but activations, pooling and
        dropout between them, without norms and residual connections. In the first measured batch
        it compares the standard deviation of the last layer's output over the data with the first
        layer's, and the norm of the gradient at the first layer's output with the last layer's.

    Why it is bad:
        Each layer changes the size by a factor, and the factors multiply. A signal that is lost
        carries nothing to learn from; one that explodes, or gradients that do, leave no learning
        rate that fits all layers.

    Example:
        Weights drawn with `nn.init.normal_(weight, std=0.01)` in a deep network.

    Fix:
        `nn.init.kaiming_normal_` before ReLU and its kin, `nn.init.xavier_normal_` before tanh and
        sigmoid; or a norm in each layer.

    References:
        Glorot, Bengio: Understanding the difficulty of training deep feedforward neural networks
        (2010); He et al.: Delving Deep into Rectifiers (2015), section 2.2.

    Attributes:
        most: the factor, up or down, over a whole chain above which it is reported.
    """

    code = "INI102"
    name = "initial-variance-unfit"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    most: float = 1e3

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per chain, at the layer that changes the size most."""
        if evidence.graph is None:
            raise NotEnough("the calls of functions could not be seen")
        for chain in _chains(evidence, evidence.graph):
            found = self._judge("signal", chain, _signal) or self._judge(
                "gradient", chain[::-1], _gradient
            )
            if found:
                yield found

    def _judge(self, what: str, chain: Chain, size: Callable[[Module], float]) -> Finding | None:
        sizes = [size(module) for module in chain]
        if not all(each > 0 and isfinite(each) for each in sizes):
            return None
        change = sizes[-1] / sizes[0]
        if 1 / self.most <= change <= self.most:
            return None
        steps = [abs(log(after / before)) for before, after in pairwise(sizes)]
        # Going back, a layer's weights act on the gradient before it reaches the layer below.
        worst = chain[int(np.argmax(steps)) + (what == "signal")]
        return self.finding(
            worst.path,
            f"from {chain[0].path} to {chain[-1].path} the {what} of the first batch changes by a "
            f"factor of {change:.2g}",
            "draw weights with nn.init.kaiming_normal_ before ReLU, with nn.init.xavier_normal_ "
            "before tanh and sigmoid, or put a norm in each layer",
            value=change,
            threshold=self.most if change > 1 else 1 / self.most,
            confidence=0.8,
        )


def _chains(evidence: Evidence, graph: Graph) -> list[Chain]:
    """Return the chains of hidden layers that each feed the next one and nothing else."""
    chains: list[Chain] = []
    for layers in measured_layers(evidence).values():
        hidden = feeding(evidence, layers)
        modules = {n.index: m for n, m in layers if n.index in hidden and n.name in LAYERS}
        nexts = {index: _next(graph, graph.nodes[index]) for index in modules}
        for head in modules.keys() - set(nexts.values()):
            chain, index = [], head
            while index in modules:
                chain.append(modules[index])
                index = nexts[index]
            chains.append(chain)
    return [chain for chain in chains if len(chain) > 2]


def _next(graph: Graph, node: Node) -> int | None:
    takers = graph.consumers(node, ELEMENTWISE)
    return takers[0].index if len(takers) == 1 else None


def _signal(module: Module) -> float:
    first = module.output.first if module.output else None
    return float(np.sqrt(first.var.mean())) if first is not None else float("nan")


def _gradient(module: Module) -> float:
    return module.gradient.first if module.gradient is not None else float("nan")
