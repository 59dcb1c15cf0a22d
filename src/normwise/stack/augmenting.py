"""Batches changed at random, for many runs at once: each draws from a stream of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from normwise.data import Augmentation
from normwise.errors import UsageError
from normwise.samples import Form
from normwise.stack.seeding import derive

Augment = Callable[[Tensor, Generator], Tensor]


@dataclass(frozen=True)
class Own:
    """A change of a batch that the user wrote.

    Attributes:
        function: of a batch, (N, ...), and a generator on its device, from which it is to draw;
            returns the changed batch, of the same shape and dtype.

    Example:
        >>> own = Own(lambda x, generator: x + torch.rand(x.shape, generator=generator))
        >>> own(torch.zeros(2, 3), torch.Generator()).shape
        torch.Size([2, 3])
    """

    function: Augment

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """Return the changed batch.

        Raises:
            UsageError: it is none.
        """
        changed = self.function(x, generator)
        if not isinstance(changed, Tensor) or (changed.shape, changed.dtype) != (x.shape, x.dtype):
            told = type(changed).__name__
            if isinstance(changed, Tensor):
                told = f"{tuple(changed.shape)} {changed.dtype}".replace("torch.", "")
            raise UsageError(
                f"augment={self} returned {told} for a batch of {tuple(x.shape)} "
                f"{str(x.dtype).removeprefix('torch.')}: return a batch of the same shape and dtype"
            )
        return changed

    def __str__(self) -> str:
        function = self.function
        return getattr(function, "__qualname__", type(function).__qualname__)

    __repr__ = __str__  # no address: it tells variants apart when a study is resumed


Steps = tuple[Augmentation | Own, ...]


class Augmenter:
    """Changes the batches of a step.

    Args:
        steps: for each batch, what is done to it, one after the other.
        seeds: of the batches' runs.
        device: of the batches.

    Example:
        >>> from normwise.data import Noise
        >>> augmenter = Augmenter([(Noise(0.1),), ()], [0, 1], torch.device("cpu"))
        >>> augmenter(torch.zeros(2, 4, 3)).count_nonzero((1, 2))
        tensor([12,  0])
    """

    def __init__(self, steps: Sequence[Steps], seeds: Sequence[int], device: torch.device) -> None:
        self._steps = list(steps)
        self._generators = [
            Generator(device).manual_seed(derive(seed, "augment")) for seed in seeds
        ]

    @property
    def states(self) -> list[Tensor]:
        """Where the stream of every batch is."""
        return [generator.get_state() for generator in self._generators]

    @states.setter
    def states(self, states: Sequence[Tensor]) -> None:
        for generator, state in zip(self._generators, states, strict=True):
            generator.set_state(state)

    def of(self, batches: Sequence[int]) -> "Augmenter":
        """Return what goes on for some of the batches; one may be named more than once."""
        fewer = Augmenter([self._steps[batch] for batch in batches], [], torch.device("cpu"))
        fewer._generators = [self._generators[batch].clone_state() for batch in batches]
        return fewer

    def __call__(self, x: Form) -> Form:
        """Return the batches of a step changed, shape (batches, samples, ...).

        Where anything is done to them, they are one tensor.
        """
        return self._all_changed(x) if any(self._steps) else x  # type: ignore

    def _all_changed(self, x: Tensor) -> Tensor:
        parts = [(places, self._changed(x, places)) for places in self._alike()]
        if len(parts) == 1:
            return parts[0][1]
        changed = torch.empty_like(x)
        for places, part in parts:
            changed[places] = part
        return changed

    def _alike(self) -> list[list[int]]:
        """The batches that have the same kinds of changes in the same order."""
        groups: dict[tuple[object, ...], list[int]] = {}
        for place, steps in enumerate(self._steps):
            kinds = tuple(step if isinstance(step, Own) else type(step) for step in steps)
            groups.setdefault(kinds, []).append(place)
        return list(groups.values())

    def _changed(self, x: Tensor, places: list[int]) -> Tensor:
        part = x if len(places) == len(x) else x[places]
        for steps in zip(*(self._steps[place] for place in places), strict=True):
            draws = zip(steps, part, [self._generators[place] for place in places], strict=True)
            first = steps[0]
            if isinstance(first, Own):
                part = torch.stack([first(batch, generator) for _, batch, generator in draws])
            else:
                numbers = torch.cat(
                    [step.draw(batch, generator) for step, batch, generator in draws]
                )
                part = first.apply(part.flatten(0, 1), numbers).view(part.shape)
        return part
