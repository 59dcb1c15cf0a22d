"""The dropouts that can stand behind hidden activations."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from normwise.errors import UsageError
from normwise.layers import ConcreteDropout, DropBlock2d, GaussianDropout, LockedDropout, Uout
from normwise.trace import Activation, Layer


@dataclass(frozen=True)
class Kind:
    """One kind of dropout.

    Attributes:
        make: from `p`.
        p: what `p` means, for errors.
        ranks: of the tensors that it takes, batch included; None for all.
        units_last: whether it takes features that come last, or channels along axis 1; None for
            both.
        needs: what it needs of a tensor, for errors.
    """

    make: Callable[[float], nn.Module]
    p: str = "the probability to zero an element"
    ranks: tuple[int, ...] | None = None
    units_last: bool | None = None
    needs: str = ""

    def fits(self, where: Activation | Layer) -> bool:
        """Tell whether it can stand behind an activation or a layer."""
        rank, last = len(where.shape), where.unit_axis == len(where.shape) - 1
        return (self.ranks is None or rank in self.ranks) and self.units_last in (None, last)


DROPOUTS = {
    "dropout": Kind(nn.Dropout),
    "gaussian-dropout": Kind(
        GaussianDropout, "the probability whose dropout has this variance, p / (1 - p),"
    ),
    "uout": Kind(Uout, "half the width of the noise"),
    "concrete-dropout": Kind(ConcreteDropout, "the p to start from"),
    "locked-dropout": Kind(
        partial(LockedDropout, batch_first=True),
        "the probability to zero a feature",
        ranks=(3,),
        units_last=True,
        needs="sequences of features, (N, L, C),",
    ),
    "dropblock": Kind(
        DropBlock2d,
        "the share to zero",
        ranks=(4,),
        units_last=False,
        needs="feature maps, (N, C, H, W),",
    ),
}
"""By the word of the variant grammar."""


def check_p(word: str, p: float) -> None:
    """Raise a `UsageError` unless a word of `DROPOUTS`, or `input-dropout`, can have this `p`."""
    positive = word == "concrete-dropout"
    if not (0 < p < 1 if positive else 0 <= p < 1):
        meaning = DROPOUTS.get(word, DROPOUTS["dropout"]).p
        raise UsageError(f"{word}={p}: {meaning} lies in {'(0, 1)' if positive else '[0, 1)'}")
