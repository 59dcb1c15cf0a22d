"""Batches of one tensor or of several: how they are taken apart, and given to a network.

A batch is a tensor; or a tuple of tensors, the network's positional arguments; or a dict of them,
its named ones. Targets of several heads are a dict.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor, nn

Samples = Tensor | tuple[Tensor, ...] | dict[str, Tensor]
Targets = Tensor | dict[str, Tensor]
Form = TypeVar("Form", bound=Samples)


def each(samples: Form, function: Callable[[Tensor], Tensor]) -> Form:
    """Return the samples with every tensor replaced by what a function makes of it.

    Example:
        >>> import torch
        >>> each({"a": torch.ones(2), "b": torch.zeros(2)}, lambda tensor: tensor[:1])
        {'a': tensor([1.]), 'b': tensor([0.])}
    """
    if isinstance(samples, Tensor):
        return function(samples)  # type: ignore[return-value]
    if isinstance(samples, tuple):
        return tuple(function(tensor) for tensor in samples)  # type: ignore[return-value]
    return {name: function(tensor) for name, tensor in samples.items()}  # type: ignore


def tensors(samples: Samples) -> list[Tensor]:
    """Return the tensors of which samples consist, in order.

    Example:
        >>> import torch
        >>> [t.item() for t in tensors((torch.tensor(1), torch.tensor(2)))]
        [1, 2]
    """
    if isinstance(samples, Tensor):
        return [samples]
    return list(samples if isinstance(samples, tuple) else samples.values())


def like(samples: Form, replacements: list[Tensor]) -> Form:
    """Return samples of the same form, made of other tensors.

    Args:
        samples: tell the form.
        replacements: in the order of `tensors`.

    Example:
        >>> import torch
        >>> like({"a": torch.ones(2)}, [torch.zeros(1)])
        {'a': tensor([0.])}
    """
    supply = iter(replacements)
    return each(samples, lambda _: next(supply))


def forward(network: nn.Module | Callable[..., Any], samples: Samples) -> Any:
    """Return what a network makes of a batch: a tuple is its arguments, a dict its named ones.

    Example:
        >>> import torch
        >>> forward(torch.add, (torch.ones(1), torch.ones(1)))
        tensor([2.])
    """
    if isinstance(samples, Tensor):
        return network(samples)
    return network(*samples) if isinstance(samples, tuple) else network(**samples)
