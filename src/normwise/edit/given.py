"""What was given as the network."""

from torch import nn

from normwise.errors import UsageError


def check_network(network: object) -> None:
    """Refuse what is no network.

    Raises:
        UsageError: it is not an nn.Module; a class of networks is to be built first.

    Example:
        >>> check_network(nn.Linear)
        Traceback (most recent call last):
        normwise.errors.UsageError: network is the class Linear: build one, as in Linear(...)
    """
    if isinstance(network, nn.Module):
        return
    if isinstance(network, type) and issubclass(network, nn.Module):
        name = network.__name__
        raise UsageError(f"network is the class {name}: build one, as in {name}(...)")
    raise UsageError(f"network is a {type(network).__name__}: give an nn.Module")
