"""Keep the state of a training, so that it can go on after whatever ends it."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from normwise.stack.calling import Tensors


@dataclass(frozen=True)
class State:
    """All that a training needs to go on from a step.

    Attributes:
        step: optimizer steps taken.
        tensors: by name; the names of what belongs together begin with `group/`.
        plain: the rest, as JSON takes it.

    Example:
        >>> State(3, {"best/weight": torch.ones(1)}, {}).of("best")
        {'weight': tensor([1.])}
    """

    step: int
    tensors: Tensors
    plain: dict[str, Any]

    def of(self, group: str) -> Tensors:
        """Return the tensors of a group, by their names in it."""
        return of_group(self.tensors, group)


def of_group(tensors: Tensors, group: str) -> Tensors:
    """Return the tensors whose names begin with `group/`, by what follows.

    Example:
        >>> of_group({"network/weight": torch.ones(1), "losses": torch.zeros(1)}, "network")
        {'weight': tensor([1.])}
    """
    prefix = f"{group}/"
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


@dataclass
class Keeping:
    """What is done to keep a training's state.

    Attributes:
        due: tells after which steps the state is saved.
        save: takes a state.
        state: to go on from, or None to begin.
        stops: asked after every step whether to end with it; the state is saved then.

    Example:
        >>> saved = []
        >>> keeping = Keeping(lambda step: step == 2, saved.append, None, lambda step: False)
        >>> [keeping.keep(step, lambda step: State(step, {}, {})) for step in (1, 2, 3)]
        [False, False, False]
        >>> [state.step for state in saved]
        [2]
    """

    due: Callable[[int], bool]
    save: Callable[[State], None]
    state: State | None
    stops: Callable[[int], bool]

    def keep(self, step: int, state: Callable[[int], State]) -> bool:
        """Save the state after a step where that is due; tell whether the training ends here."""
        ends = self.stops(step)
        if ends or self.due(step):
            self.save(state(step))
        return ends


@runtime_checkable
class Resumable(Protocol):
    """A stack whose state can be kept."""

    def state(self) -> Tensors:
        """Return the tensors of the networks and their optimizers, as copies."""
        ...

    def load_state(self, tensors: Tensors, steps: int, losses: Mapping[int, float]) -> None:
        """Take a state.

        Args:
            tensors: as `state` returned them.
            steps: that had been taken then.
            losses: on the validation split, by the step of the evaluation.
        """
        ...


def random_tensors() -> Tensors:
    """Return the states of torch's and NumPy's global generators that are arrays."""
    tensors = {"random/torch": torch.get_rng_state()}
    for device in range(torch.cuda.device_count()):
        tensors[f"random/cuda{device}"] = torch.cuda.get_rng_state(device)
    words = _numpy_state()["state"]["key"]
    tensors["random/numpy"] = torch.from_numpy(words.astype(np.int64))
    return tensors


def random_plain() -> dict[str, Any]:
    """Return what else Python's and NumPy's global generators remember."""
    numpy = _numpy_state()
    rest = [numpy["state"]["pos"], numpy["has_gauss"], numpy["gauss"]]
    return {"python": random.getstate(), "numpy": rest}


def _numpy_state() -> dict[str, Any]:
    return np.random.get_state(legacy=False)  # type: ignore[return-value]


def set_random(state: State) -> None:
    """Bring all global generators to where they were."""
    tensors, plain = state.of("random"), state.plain["random"]
    torch.set_rng_state(tensors["torch"])
    for device in range(torch.cuda.device_count()):
        if f"cuda{device}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda{device}"], device)
    words = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", words, *plain["numpy"]))
    version, numbers, gauss = plain["python"]
    random.setstate((version, tuple(numbers), gauss))
