"""Let a module host another one that runs before or after it.

A host keeps its class, its parameters' names and its place in the network, so the user's forward
code, tied weights and checkpoints of the original network go on working; the guest is a submodule
that shows in `print(network)` and in the state dict. (Wrapping the host in an `nn.Sequential`
would rename its parameters and break code that asks for `self.fc1.weight`.)
"""

from typing import Any

from torch import nn


def host_after(host: nn.Module, name: str, guest: nn.Module) -> None:
    """Make `guest` run on the output of `host`, as its submodule `name`."""
    setattr(host, _free(host, name), _like(host, guest))
    host.register_forward_hook(_After(_name_of(host, guest)))


def host_before(host: nn.Module, name: str, guest: nn.Module) -> None:
    """Make `guest` run on the first input of `host`, as its submodule `name`."""
    setattr(host, _free(host, name), _like(host, guest))
    host.register_forward_pre_hook(_Before(_name_of(host, guest)))


class _After:
    """A hook that knows its guest by name, so that copying or pickling the host copies both."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, host: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:  # noqa: ARG002
        return getattr(host, self.name)(output)


class _Before(_After):
    def __call__(self, host: nn.Module, inputs: tuple[Any, ...]) -> Any:  # type: ignore[override]
        return (getattr(host, self.name)(inputs[0]), *inputs[1:])


def _like(host: nn.Module, guest: nn.Module) -> nn.Module:
    """Put the guest on the host's device, in its dtype and mode."""
    for parameter in host.parameters():
        guest = guest.to(parameter.device, parameter.dtype)
        break
    return guest.train(host.training)


def _free(host: nn.Module, name: str) -> str:
    taken = dir(host)
    names = (name, *(f"{name}_{number}" for number in range(1, len(taken) + 2)))
    return next(candidate for candidate in names if candidate not in taken)


def _name_of(host: nn.Module, guest: nn.Module) -> str:
    return next(name for name, child in host.named_children() if child is guest)
