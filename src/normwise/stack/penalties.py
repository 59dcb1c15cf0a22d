"""Weights kept small: L1 and L2 terms of the loss, and decoupled weight decay.

| word | what is done in a step with learning rate η | source |
|---|---|---|
| `l1` | the loss has a term λ Σ|w|: the gradient gains λ sign(w) | Tibshirani 1996 |
| `l2` | the loss has a term λ Σw²: the gradient gains 2 λ w | Hoerl & Kennard 1970 |
| `wd` | w is multiplied by 1 - η λ before the optimizer's step | Loshchilov & Hutter 2019 |

The terms are there for their gradients: the losses that are reported leave them out, so that those
of different variants can be compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normwise.errors import Problems
from normwise.trace.functions import NORM_TYPES
from normwise.trace.matching import matching

PENALTIES = ("l1", "l2", "wd")


@dataclass(frozen=True)
class Penalty:
    """How strongly some layers' weights are kept small.

    Biases and the parameters of norms never are: weights are what has two axes or more and does
    not belong to a norm (torch's, those of `normwise.layers`, and classes that say
    `normalizes = True`).

    Attributes:
        strength: λ in the table above.
        layers: a pattern of module names, such as `encoder*` (`*` stands for any characters, dots
            included); a module's weights are those of all that is inside it. None means all.

    Example:
        >>> str(Penalty(1e-4, "encoder*"))
        '0.0001:encoder*'
    """

    strength: float
    layers: str | None = None

    def __str__(self) -> str:
        return f"{self.strength:g}" + ("" if self.layers is None else f":{self.layers}")

    def weights(self, network: nn.Module, called: str) -> set[str]:
        """Return the names of the parameters that it is for.

        Args:
            network: has them.
            called: what an error calls the penalty.

        Raises:
            UsageError: the pattern matches no layer that has weights.
        """
        names = _weights(network)
        candidates = {
            path: module
            for path, module in network.named_modules()
            if any(_is_in(name, path) for name in names)
        }
        about = f"{called}={self}: layers"
        chosen = matching(self.layers, network, candidates, "layer with weights", called=about)
        return {name for name in names if any(_is_in(name, path) for path in chosen)}


@dataclass(frozen=True)
class Strengths:
    """How strongly one parameter is kept small, by each of the three ways."""

    l1: float = 0.0
    l2: float = 0.0
    wd: float = 0.0


Penalties = Mapping[str, Penalty | None]


def strengths(network: nn.Module, penalties: Penalties) -> dict[str, Strengths]:
    """Return how strongly each parameter is kept small; those that are not are left out.

    Args:
        network: has them.
        penalties: by name, of `PENALTIES`.

    Raises:
        UsageError: patterns that match nothing, all of them.

    Example:
        >>> strengths(nn.Linear(4, 2), {"l2": Penalty(1e-4)})
        {'weight': Strengths(l1=0.0, l2=0.0001, wd=0.0)}
    """
    found: dict[str, dict[str, float]] = {}
    problems = Problems()
    for called, penalty in penalties.items():
        with problems.collect():
            if penalty is None:
                continue
            for name in penalty.weights(network, called):
                if penalty.strength:
                    found.setdefault(name, {})[called] = penalty.strength
    problems.raise_if_any()
    return {name: Strengths(**of_name) for name, of_name in found.items()}


class Shrinking:
    """Keeps the weights of one network small.

    Args:
        network: whose parameters are changed.
        penalties: by name, of `PENALTIES`.
    """

    def __init__(self, network: nn.Module, penalties: Penalties) -> None:
        parameters = dict(network.named_parameters())
        self._all = [(parameters[n], s) for n, s in strengths(network, penalties).items()]

    def __bool__(self) -> bool:
        """Whether there is anything to do: to find out anew in every step would cost."""
        return bool(self._all)

    @torch.no_grad()
    def add_gradients(self) -> None:
        """Add the terms' gradients; a weight without one, which nothing uses, is left alone."""
        for weight, strength in self._all:
            if weight.grad is not None:
                if strength.l1:
                    weight.grad.add_(weight.sign(), alpha=strength.l1)
                if strength.l2:
                    weight.grad.add_(weight, alpha=2 * strength.l2)

    @torch.no_grad()
    def decay(self, lr: float) -> None:
        """Multiply the weights that the optimizer is about to update."""
        for weight, strength in self._all:
            if strength.wd and weight.grad is not None:
                weight.mul_(1 - lr * strength.wd)


class StackedShrinking:
    """The strengths of many runs, for each weight.

    Args:
        strengths: one dictionary per run; runs may share one.
        names: of the weights, in the order of the optimizer.
        device: of the weights.

    Attributes:
        l1, l2, wd: for each weight a float64 tensor, shape (runs,), or None where all are 0.
    """

    def __init__(
        self,
        strengths: Sequence[Mapping[str, Strengths]],
        names: Sequence[str],
        device: torch.device,
    ) -> None:
        self._strengths, self._names, self._device = list(strengths), list(names), device
        self.l1, self.l2, self.wd = (self._column(kind) for kind in PENALTIES)

    def _column(self, kind: str) -> list[Tensor | None]:
        columns = (
            [getattr(of_run.get(name, _NONE), kind) for of_run in self._strengths]
            for name in self._names
        )
        return [
            torch.tensor(column, dtype=torch.float64, device=self._device) if any(column) else None
            for column in columns
        ]

    def of(self, runs: Sequence[int]) -> "StackedShrinking":
        """Return the strengths of some runs."""
        return StackedShrinking([self._strengths[r] for r in runs], self._names, self._device)


_NONE = Strengths()


def like(numbers: Tensor, weight: Tensor) -> Tensor:
    """Return numbers, one per run, in the dtype of a stacked weight and so that they broadcast."""
    return numbers.to(weight.dtype).view(-1, *(1,) * (weight.ndim - 1))


def _weights(network: nn.Module) -> list[str]:
    """The names of the parameters that are weights."""
    owners = {
        f"{path}.{name}".removeprefix("."): module
        for path, module in network.named_modules()
        for name, _ in module.named_parameters(recurse=False)
    }
    return [
        name
        for name, parameter in network.named_parameters()
        if parameter.ndim > 1 and not isinstance(owners[name], NORM_TYPES)
    ]


def _is_in(name: str, path: str) -> bool:
    return not path or name.startswith(f"{path}.")
