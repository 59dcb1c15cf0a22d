"""A network that has been folded."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn

from normwise.edit.folding.report import Report
from normwise.errors import UsageError


class Folded(fx.GraphModule):
    """A network for inference, made by `fold`: a graph of torch operators with its weights.

    It is an ordinary module: it moves between devices and dtypes, saves and loads its state dict,
    pickles, compiles and exports. It has one mode, evaluation; `train()` changes nothing. Its
    weights do not require gradients.

    Attributes:
        report: what was folded, what was left and why, and the proof.

    Example:
        >>> from normwise.edit import fold
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        >>> folded = fold(net, torch.randn(2, 4))
        >>> isinstance(folded, Folded), sorted(folded.state_dict())
        (True, ['0.bias', '0.weight', '3.bias', '3.weight'])
    """

    report: Report

    def __deepcopy__(self, memo: dict[int, Any]) -> "Folded":
        """Copy the network, and its report, which torch's own copy of a graph would lose."""
        twin = super().__deepcopy__(memo)
        assert isinstance(twin, Folded)
        twin.report = self.report
        return twin


class Guards(nn.Module):
    """Refuses inputs that a graph was not captured for, instead of computing something else.

    Args:
        conditions: expressions over the list `inputs`.
    """

    def __init__(self, conditions: Sequence[str]) -> None:
        super().__init__()
        self._is_impure = True  # so that torch.fx does not drop a call that returns nothing
        self.conditions = tuple(conditions)
        self._hold = _compiled(self.conditions)

    def forward(self, *inputs: Any) -> None:
        """Check inputs.

        Raises:
            UsageError: they do not meet the conditions.
        """
        if not self._hold(inputs):
            raise UsageError(self._refusal(inputs))

    def extra_repr(self) -> str:
        """Show the conditions."""
        return "\n".join(self.conditions)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name != "_hold"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make it again."""
        super().__setstate__(state)
        self._hold = _compiled(self.conditions)

    def _refusal(self, inputs: Sequence[Any]) -> str:
        broken = next(c for c in self.conditions if not _compiled([c])(inputs))
        told = (
            f"of shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
            for value in inputs
        )
        return (
            f"this network was folded for inputs with {broken}, and got inputs {', '.join(told)}: "
            "fold the original again with an example like these"
        )


def _compiled(conditions: Sequence[str]) -> Any:
    # It brings sympy, which takes long to import, and only captured graphs need it.
    from torch.fx.experimental.symbolic_shapes import SYMPY_INTERP

    body = " and ".join(f"({condition})" for condition in conditions) or "True"
    return eval(f"lambda inputs: {body}", SYMPY_INTERP | {"inf": float("inf")})
