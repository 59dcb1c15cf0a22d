"""How deep the evidence goes."""

from enum import IntEnum


class Level(IntEnum):
    """What has been seen of a network; each level includes those before it.

    Example:
        >>> Level.FORWARD < Level.TRAINING
        True
    """

    STRUCTURE = 0
    """Modules, parameters, buffers; nothing has run."""
    FORWARD = 1
    """At least one forward pass."""
    BACKWARD = 2
    """A loss was propagated back."""
    TRAINING = 3
    """Optimizers have stepped."""
