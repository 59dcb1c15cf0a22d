"""In which mode a module is run, with or without gradients, and whether a backward followed."""

from dataclasses import dataclass, field
from typing import Any
from weakref import ref

from torch import Tensor
from torch.utils._pytree import tree_leaves

_SIZES = 32  # numbers of samples that are told apart


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


@dataclass(slots=True)
class _Mode:
    """Passes in one mode."""

    first: int  # the step
    last: int
    count: int = 0
    runs: int = 0
    repeated: int = 0
    after_steps: int = 0
    sizes: dict[int, int] = field(default_factory=dict)


class PassesMeter:
    """Counts the passes of one module; called at every pass."""

    def __init__(self, entry: str) -> None:
        self._entry = entry
        self._modes: dict[tuple[bool, bool], _Mode] = {}
        self._batch: ref[Tensor] | None = None
        self._backward = self._recomputed = 0
        self._mode: _Mode | None = None  # of the last pass

    def add(self, training: bool, gradients: bool, step: int, batch: Tensor | None) -> None:
        """Note a pass that begins."""
        mode = self._modes.get((training, gradients))
        if mode is None:
            mode = self._modes[training, gradients] = _Mode(step, step)
        mode.count += 1
        mode.last = step
        mode.after_steps += step > 0
        mode.runs += mode is not self._mode
        self._mode = mode
        if batch is not None:
            mode.repeated += self._batch is not None and self._batch() is batch
            self._batch = ref(batch)
            self._note_size(mode, batch)

    def _note_size(self, mode: _Mode, batch: Tensor) -> None:
        size = batch.shape[0] if batch.ndim else None
        if size is not None and (size in mode.sizes or len(mode.sizes) < _SIZES):
            mode.sizes[size] = mode.sizes.get(size, 0) + 1

    @property
    def checkpointed(self) -> bool:
        """Whether passes without gradients are run again with them, in the backward pass."""
        return self._recomputed > 0 and (True, False) in self._modes

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
        ordered = sorted(self._modes.items(), key=lambda each: -each[1].count)
        return tuple(self._passes(*key, mode) for key, mode in ordered)

    def _passes(self, training: bool, gradients: bool, mode: _Mode) -> Passes:
        return Passes(
            self._entry,
            training,
            gradients,
            mode.count,
            self._backward if (training, gradients) == (False, True) else None,
            self._recomputed if (training, gradients) == (True, False) else 0,
            (mode.first, mode.last),
            mode.after_steps,
            mode.runs,
            mode.repeated,
            dict(mode.sizes),
        )
