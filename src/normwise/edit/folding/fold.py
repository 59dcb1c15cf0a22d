"""Fold a network for inference, and prove the result."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from normwise.edit.folding.captured import Captured, Form
from normwise.edit.folding.draft import Draft
from normwise.edit.folding.exported import by_export
from normwise.edit.folding.folded import Folded
from normwise.edit.folding.judge import Judge, run
from normwise.edit.folding.report import Entry, Report
from normwise.edit.folding.simplify import Key, Simplified, key, simplify
from normwise.edit.folding.spelling import spell
from normwise.edit.folding.steps import Step
from normwise.edit.folding.traced import by_fx
from normwise.edit.given import check_network
from normwise.errors import UsageError
from normwise.references import explain
from normwise.trace import Call, undisturbed


def fold(network: nn.Module, example: Any) -> Folded:
    """Return a network for inference that computes the same with fewer operations.

    The network's evaluation mode is captured as a graph, functional calls and hooks included, and

    - norms with fixed statistics (batch norm of 1-3 dimensions, affine or not, synchronised or
      frozen; instance norm with running statistics) go into the Linear layer or the convolution
      before them, or into those behind them;
    - scale and shift of other norms (layer, RMS, group, instance) go into the layers behind them;
    - Linear layers in a row become one where that is less work;
    - dropout, detaching, and views that undo each other are removed.

    A step is taken only where it is exact: nobody else reads what lies between, the weights serve
    one call only, channels and units correspond through whatever views lie between, and no zero
    padding would have to be shifted. What is left is reported with the reason. Then both networks
    run on the example, on random inputs like it, and on batches of other sizes, and are compared
    with the original in float64; a step that costs accuracy is found by bisection and undone.

    Source: Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference", section 3.2 (folding batch norm).

    Args:
        network: left as it is, in every respect.
        example: one batch of inputs: a tensor, a tuple of positional arguments or a dict of named
            ones. Sizes that the network does not fix may differ later on.

    Returns:
        A new network with its own weights, under their former names, and a `report`.

    Raises:
        UsageError: the network fails on the example, or its forward cannot be captured.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3))
        >>> x = torch.randn(16, 4)
        >>> folded = fold(net, x)
        >>> [entry.what for entry in folded.report.folded]
        ['dropout removed', 'norm folded back', 'layers merged']
        >>> torch.allclose(folded(x), net.eval()(x), atol=1e-6)
        True
    """
    check_network(network)
    call = Call.of(example)
    with undisturbed(network):
        network.eval()
        judge = Judge(network, call)
        captured = _capture(network, Form.of(network, call, judge.output), judge)
        simplified, undone = _proved(captured.draft, judge)
        return _finished(network, call, judge, captured, simplified, undone)


def _capture(network: nn.Module, form: Form, judge: Judge) -> Captured:
    """Return the first capture that computes what the network does."""
    ways: dict[str, Callable[[], Captured]] = {
        "torch.export": partial(by_export, network, _batch_of_two(form), dynamic=True),
        "torch.export for the example's sizes": partial(by_export, network, form, dynamic=False),
        "torch.fx": partial(by_fx, network, form),
    }
    faults = []
    for name, way in ways.items():
        try:
            captured = way()
        except Exception as error:
            faults.append(f"{name}: {explain(error).splitlines()[0]}")
            continue
        verdict = judge(captured.draft.module)
        if verdict.good:
            return replace(captured, note=faults[0] if faults else "")
        faults.append(f"{name}: {verdict}")
    raise UsageError(
        f"the forward of this {type(network).__name__} cannot be captured as a graph ("
        + "; ".join(faults)
        + "). Fold its submodules one by one instead, such as network.encoder = "
        "fold(network.encoder, example)"
    )


def _batch_of_two(form: Form) -> Form:
    """Repeat a single sample: torch.export takes a size of one for a constant."""
    tensors = form.call.tensors
    if {len(tensor) for tensor in tensors if tensor.ndim} != {1}:
        return form
    twice = form.call.replaced([torch.cat([t, t]) if t.ndim else t for t in tensors])
    return replace(form, call=twice)


def _proved(draft: Draft, judge: Judge) -> tuple[Simplified, list[Entry]]:
    """Simplify a graph, without the steps that cost accuracy."""
    skip: set[Key] = set()
    undone = []
    while True:
        simplified = simplify(draft, skip)
        verdict = judge(simplified.draft.module)
        if verdict.good:
            return simplified, undone
        culprit = _culprit(draft, skip, simplified.steps, judge)
        skip.add(key(culprit))
        undone.append(_entry(culprit, "undone", str(verdict)))


def _culprit(draft: Draft, skip: set[Key], steps: tuple[Step, ...], judge: Judge) -> Step:
    """Find by bisection the first step with which a graph fails."""
    good, bad = 0, len(steps)
    while bad - good > 1:
        middle = (good + bad) // 2
        if judge(simplify(draft, skip, limit=middle).draft.module).good:
            good = middle
        else:
            bad = middle
    return steps[bad - 1]


def _finished(
    network: nn.Module,
    call: Call,
    judge: Judge,
    captured: Captured,
    simplified: Simplified,
    undone: list[Entry],
) -> Folded:
    draft = simplified.draft
    verdict = judge(draft.module)
    spell(draft.graph)
    folded = Folded(draft.module, draft.graph, "Folded")
    before, after = _milliseconds(network, folded, call)
    left = [Entry("left", left.place, reason="; ".join(left.reasons)) for left in simplified.left]
    folded.report = Report(
        entries=(*(_entry(step, "folded") for step in simplified.steps), *left, *undone),
        capture=captured.method,
        note=captured.note,
        inputs=captured.inputs,
        probes=verdict.probes,
        error=verdict.error,
        original_error=judge.original_error,
        bound=verdict.bound,
        reference=judge.reference,
        bytes_before=_bytes(network),
        bytes_after=_bytes(folded),
        milliseconds_before=before,
        milliseconds_after=after,
    )
    return folded.eval()


def _entry(step: Step, outcome: str, reason: str = "") -> Entry:
    return Entry(outcome, step.place, step.what, step.into, reason)


def _bytes(network: nn.Module) -> int:
    tensors = {*network.parameters(), *network.buffers()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _milliseconds(first: nn.Module, second: nn.Module, call: Call) -> tuple[float, float]:
    """Time two networks in turn, for about 50 ms."""
    taken: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + 0.05
    while len(taken[0]) < 5 or time.perf_counter() < end:
        for network, times in zip((first, second), taken, strict=True):
            started = time.perf_counter()
            run(network, call)
            times.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken[0]), statistics.median(taken[1])
