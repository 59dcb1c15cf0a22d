"""Which modules are dropout."""

from torch import nn

from normwise.layers.concrete_dropout import ConcreteDropout
from normwise.layers.noise import Mask

DROPOUTS: tuple[type[nn.Module], ...] = (nn.modules.dropout._DropoutNd, ConcreteDropout)
"""The bases of every dropout of torch and of this room, for `isinstance`."""


def is_dropout(module: nn.Module) -> bool:
    """Tell whether a module is a dropout of torch's or of this room's: noise in training only.

    Args:
        module: any module; its parts are not looked at.

    Example:
        >>> from normwise.layers import StochasticDepth, drop_connect
        >>> [is_dropout(m) for m in (nn.AlphaDropout(), StochasticDepth(), nn.ReLU())]
        [True, True, False]
        >>> [path for path, m in drop_connect(nn.Linear(2, 2)).named_modules() if is_dropout(m)]
        ['drop_connect']
    """
    return isinstance(module, DROPOUTS)


def evaluation_factor(dropout: nn.Module) -> float:
    """Return what a dropout multiplies by in evaluation: 1, or `1 - p` with classic scaling.

    Where it is 1, `nn.Identity` may take the dropout's place, a `DropConnect`'s too.

    Args:
        dropout: of torch's or of this room's.

    Example:
        >>> from normwise.layers import Dropout
        >>> evaluation_factor(nn.Dropout(0.2)), evaluation_factor(Dropout(0.2, scaling="classic"))
        (1.0, 0.8)
    """
    if isinstance(dropout, Mask) and dropout.scaling == "classic":
        return 1 - dropout.p
    return 1.0
