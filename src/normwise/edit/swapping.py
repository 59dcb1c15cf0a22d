"""Put one module in the place of another."""

from torch import nn


def swap(network: nn.Module, former: nn.Module, successor: nn.Module) -> None:
    """Replace a module under every name that the network has for it."""
    for path, module in list(network.named_modules(remove_duplicate=False)):
        if module is former:
            network.set_submodule(path, successor.train(former.training))
