"""Hooks on every module of a network, for as long as one looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

Enter = Callable[[nn.Module, tuple[Any, ...]], None]
Leave = Callable[[nn.Module, tuple[Any, ...], Any], None]


@contextmanager
def hooked(
    network: nn.Module,
    enter: Callable[[str], Enter],
    leave: Leave,
    *,
    around_others: bool = False,
) -> Iterator[None]:
    """Follow which module is at work, and leave no hook behind.

    They are always called, since a forward may raise and another catch it. The inputs they get are
    those by position, or those by name where there are no others, as in `norm(input=x)`.

    Args:
        network: whose modules, itself among them, are hooked.
        enter: makes the hook before the forward of the module with a path.
        leave: the hook after every forward.
        around_others: whether other hooks on a module's output, such as one that calls a norm that
            it hosts, count as a part of the module. Default: they come after it

    Example:
        >>> import torch
        >>> seen = []
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> def enter(path):
        ...     return lambda module, inputs: seen.append(path)
        >>> with hooked(net, enter, lambda module, inputs, output: None):
        ...     _ = net(torch.ones(1, 2))
        >>> seen
        ['', '0', '1']
    """
    handles, with_names = [], {"with_kwargs": True}
    order = {"prepend": not around_others, "always_call": True}
    try:
        for path, module in network.named_modules():
            first = _entering(enter(path))
            handles.append(module.register_forward_pre_hook(first, prepend=True, **with_names))
            last = _leaving(leave)
            handles.append(module.register_forward_hook(last, **order, **with_names))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _entering(enter: Enter) -> Callable[..., None]:
    return lambda module, args, kwargs: enter(module, args or tuple(kwargs.values()))


def _leaving(leave: Leave) -> Callable[..., None]:
    return lambda module, args, kwargs, output: leave(
        module, args or tuple(kwargs.values()), output
    )
