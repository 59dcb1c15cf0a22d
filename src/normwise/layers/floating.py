"""What a norm can take: numbers with a fraction."""

from torch import Tensor

from normwise.errors import UsageError


def check_floating(name: str, x: Tensor) -> None:
    """Refuse whole numbers, to which a normalised value would be cut off.

    Args:
        name: of the layer.
        x: its input.

    Raises:
        UsageError: the input is not made of floating-point numbers.
    """
    if not x.is_floating_point():
        raise UsageError(
            f"{name} takes floating-point numbers, not {x.dtype}: convert them first, as x.float() "
            "does"
        )
