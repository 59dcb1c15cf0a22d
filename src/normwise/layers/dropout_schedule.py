"""Change the p of dropouts while training goes on."""

from collections.abc import Callable
from typing import Any

from torch import nn

from normwise.errors import UsageError


class DropoutSchedule:
    """Set the `p` of every dropout in a network, step by step.

    It is to dropouts what `torch.optim.lr_scheduler.LambdaLR` is to learning rates. It works for
    torch's own dropouts and those of `normwise.layers` (but `ConcreteDropout`, which learns its p).
    A compiled network is compiled anew for a new `p`, so there take a step per epoch.

    Args:
        network: or a single dropout; all dropouts in it follow the schedule.
        p: from the number of steps taken, 0 at first, to the `p` of all.

    Raises:
        UsageError: the network has no dropout, or the schedule leaves [0, 1].

    Example:
        >>> from normwise.layers import DropBlock2d
        >>> net = nn.Sequential(DropBlock2d(), nn.Flatten(), nn.Dropout())
        >>> schedule = DropoutSchedule(net, lambda step: min(0.2, 0.02 * step))
        >>> net[2].p
        0.0
        >>> for epoch in range(5):
        ...     schedule.step()
        >>> net[0].p, net[2].p
        (0.1, 0.1)
    """

    def __init__(self, network: nn.Module, p: Callable[[int], float]) -> None:
        kind = nn.modules.dropout._DropoutNd
        self._dropouts = [module for module in network.modules() if isinstance(module, kind)]
        if not self._dropouts:
            raise UsageError(
                f"this {type(network).__name__} has no dropout whose p could follow a schedule: "
                "insert one first"
            )
        self._p = p
        self.steps = 0
        self._set()

    def step(self) -> None:
        """Go one step on, and set `p`."""
        self.steps += 1
        self._set()

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs: how many steps were taken."""
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.steps = state["steps"]
        self._set()

    def _set(self) -> None:
        p = self._p(self.steps)
        if not 0 <= p <= 1:
            raise UsageError(
                f"the dropout schedule gives p={p} at step {self.steps}: not in [0, 1]"
            )
        for dropout in self._dropouts:
            dropout.p = p
