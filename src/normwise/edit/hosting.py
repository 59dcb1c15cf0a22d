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
    name = free_name(host, name)
    host.add_module(name, guest.train(host.training))
    host.register_forward_hook(_After(name))


def host_before(host: nn.Module, name: str, guest: nn.Module) -> None:
    """Make `guest` run on the first input of `host`, as its submodule `name`."""
    name = free_name(host, name)
    host.add_module(name, guest.train(host.training))
    host.register_forward_pre_hook(_Before(name), with_kwargs=True)


def guests(host: nn.Module) -> dict[str, nn.Module]:
    """Return the modules that a module hosts, by name, in the order in which they run."""
    hooks = (*host._forward_pre_hooks.values(), *host._forward_hooks.values())
    names = [hook.name for hook in hooks if isinstance(hook, _Before | _After)]
    return {name: host.get_submodule(name) for name in names}


def dismiss(host: nn.Module, name: str) -> None:
    """Take a guest out of its host."""
    for hooks in (host._forward_pre_hooks, host._forward_hooks):
        for key, hook in list(hooks.items()):
            if isinstance(hook, _Before | _After) and hook.name == name:
                del hooks[key]
                host._forward_pre_hooks_with_kwargs.pop(key, None)
    delattr(host, name)


def free_name(host: nn.Module, name: str) -> str:
    """Return `name`, or `name_1`, `name_2` and so on where the host has that already."""
    taken = dir(host)
    names = (name, *(f"{name}_{number}" for number in range(1, len(taken) + 2)))
    return next(candidate for candidate in names if candidate not in taken)


class _After:
    """A hook that knows its guest by name, so that copying or pickling the host copies both."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, host: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:  # noqa: ARG002
        return host.get_submodule(self.name)(output)


class _Before:
    """The same, before the host."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, host: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        guest = host.get_submodule(self.name)
        if args:
            return (guest(args[0]), *args[1:]), kwargs
        first = next(iter(kwargs))
        return args, kwargs | {first: guest(kwargs[first])}
