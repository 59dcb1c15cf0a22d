"""Run a network without dropout, and see what it gives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from normwise.errors import UsageError
from normwise.layers import is_dropout
from normwise.trace import undisturbed
from normwise.trace.functions import DROPOUT_FUNCTIONS


@contextmanager
def quiet(network: nn.Module, *, training: bool) -> Iterator[None]:
    """Run a network in one mode without dropout and gradients, and leave it as it was."""
    with undisturbed(network), torch.no_grad(), _WithoutDropout():
        torch.manual_seed(0)
        network.train(training)
        for module in filter(is_dropout, network.modules()):
            module.eval()
        yield


class _WithoutDropout(TorchFunctionMode):
    """Lets dropout that is called as a function pass its input on.

    A mode like this also keeps torch's encoder layers from their fused kernels, which would show
    none of their layers.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in DROPOUT_FUNCTIONS:
            return args[0] if args else (kwargs or {})["input"]
        return func(*args, **(kwargs or {}))


def tensors_in(output: Any) -> list[Tensor]:
    """Return all tensors of an output.

    Raises:
        UsageError: there is none, or something that may hold some more.
    """
    leaves = tree_leaves(output)
    odd = [leaf for leaf in leaves if not isinstance(leaf, Tensor | int | float | str | None)]
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if odd or not tensors:
        kind = type(odd[0] if odd else output).__name__
        raise UsageError(
            f"the network gives a {kind}, in which its outputs cannot be found: let it return "
            "tensors, or tuples, lists or dicts of them"
        )
    return tensors
