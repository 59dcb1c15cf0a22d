"""Take every step that can be proved, until there is none."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice

from torch import fx

from normwise.edit.folding.draft import Draft
from normwise.edit.folding.norms import SCALINGS
from normwise.edit.folding.operations import where
from normwise.edit.folding.steps import STEPS, Step

Key = tuple[str, str]


@dataclass(frozen=True)
class Left:
    """What stays, and why.

    Attributes:
        place: where in the network.
        reasons: one or more.
    """

    place: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Simplified:
    """A simplified graph, and its story.

    Attributes:
        draft: the graph.
        steps: that were taken, in order.
        left: what stays.
    """

    draft: Draft
    steps: tuple[Step, ...]
    left: tuple[Left, ...]


def simplify(draft: Draft, skip: Collection[Key] = (), limit: int | None = None) -> Simplified:
    """Simplify a copy of a graph.

    Args:
        draft: left as it is.
        skip: steps that are not to be taken, by `key`.
        limit: how many to take at most.
    """
    draft = draft.copy()
    steps: list[Step] = []
    for step in islice(_steps(draft, skip), limit):
        step.apply()
        steps.append(step)
    draft.clean()
    done = {step.node for step in steps}
    rest = (_left(draft, node) for node in draft.graph.nodes if node.name not in done)
    left = tuple(filter(None, rest))
    return Simplified(draft, tuple(steps), left)


def key(step: Step) -> Key:
    """Return what a step is known by in every copy of a graph."""
    return step.what, step.node


def _steps(draft: Draft, skip: Collection[Key]) -> Iterator[Step]:
    """Yield steps, each to be taken before the next is asked for."""
    taken = True
    while taken:
        taken = False
        # One kind after the other over the whole graph: dropout goes before norms look for layers.
        for find in STEPS:
            for node in draft.graph.nodes:
                step = find(draft, node)
                if isinstance(step, Step) and key(step) not in skip:
                    taken = True
                    yield step
        draft.measure()  # without a norm, values may lie in memory in another way


def _left(draft: Draft, node: fx.Node) -> Left | None:
    if node.target in SCALINGS:  # most of them are no norm that somebody would miss
        return None
    reasons = [found for find in STEPS if isinstance(found := find(draft, node), str)]
    return Left(where(node), tuple(dict.fromkeys(reasons))) if reasons else None
