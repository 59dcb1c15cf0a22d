"""In which mode a module is run, with or without gradients, and whether a backward followed."""

from collections import Counter
from dataclasses import dataclass
from typing import Any
from weakref import ref

from torch import Tensor
from torch.utils._pytree import tree_leaves


@dataclass(frozen=True)
class Passes:
    """Forward passes of one module in one mode.

    Attributes:
        entry: path of the module that was called; empty for it itself.
        training: whether it was in training mode.
        gradients: whether gradients were on.
        count: how many passes.
        backward: those of them through which a backward pass came; counted only in evaluation
            mode with gradients on, None elsewhere.
        recomputed: those of them that were run again during a backward pass, as re-entrant
            checkpointing does.
        steps: optimizer steps before the first and before the last of them.
        after_steps: those of them before which an optimizer had stepped at least once.
        runs: in how many unbroken runs of passes of this mode they came.
        repeated: those of them that were given the very tensor of the pass before.
        batch_sizes: how often each number of samples was passed, of the 32 first met.

    Example:
        >>> from torch import nn, randn
        >>> from normwise.evidence import probe
        >>> training, evaluation = probe(nn.Linear(4, 3), [randn(8, 4)] * 3).passes
        >>> training.training, training.count, evaluation.training, evaluation.gradients
        (True, 3, False, False)
    """

    entry: str
    training: bool
    gradients: bool
    count: int
    backward: int | None
    recomputed: int
    steps: tuple[int, int]
    after_steps: int
    runs: int
    repeated: int
    batch_sizes: dict[int, int]


class PassesMeter:
    """Counts the passes of one module; called at every pass."""

    def __init__(self, entry: str) -> None:
        self._entry = entry
        self._count: Counter[tuple[bool, bool]] = Counter()
        self._runs: Counter[tuple[bool, bool]] = Counter()
        self._repeated: Counter[tuple[bool, bool]] = Counter()
        self._batch: ref[Tensor] | None = None
        self._after: Counter[tuple[bool, bool]] = Counter()
        self._steps: dict[tuple[bool, bool], tuple[int, int]] = {}
        self._sizes: dict[tuple[bool, bool], Counter[int]] = {}
        self._backward = self._recomputed = 0
        self._last: tuple[bool, bool] | None = None

    def add(self, training: bool, gradients: bool, step: int, batch: Tensor | None) -> None:
        """Note a pass that begins."""
        key = training, gradients
        self._count[key] += 1
        self._runs[key] += key != self._last
        self._after[key] += step > 0
        self._steps[key] = self._steps.get(key, (step, step))[0], step
        self._last = key
        if batch is not None:
            self._repeated[key] += self._batch is not None and self._batch() is batch
            self._batch = ref(batch)
        sizes = self._sizes.setdefault(key, Counter())
        if batch is not None and batch.ndim and (len(batch) in sizes or len(sizes) < 32):
            sizes[len(batch)] += 1

    @property
    def checkpointed(self) -> bool:
        """Whether passes without gradients are run again with them, in the backward pass."""
        return self._recomputed > 0 and self._count[True, False] > 0

    def recompute(self) -> None:
        """Note that it was run again during a backward pass."""
        self._recomputed += 1

    def follow(self, output: Any) -> None:
        """Note whether a backward pass will come through an output."""
        seen = [False]

        def reached(_gradient: Tensor) -> None:
            self._backward += not seen[0]
            seen[0] = True

        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor) and leaf.requires_grad:
                leaf.register_hook(reached)

    def result(self) -> tuple[Passes, ...]:
        """Return what was counted, the most frequent first."""
        return tuple(self._passes(key) for key, _ in self._count.most_common())

    def _passes(self, key: tuple[bool, bool]) -> Passes:
        training, gradients = key
        return Passes(
            self._entry,
            training,
            gradients,
            self._count[key],
            self._backward if key == (False, True) else None,
            self._recomputed if key == (True, False) else 0,
            self._steps[key],
            self._after[key],
            self._runs[key],
            self._repeated[key],
            dict(self._sizes[key]),
        )
