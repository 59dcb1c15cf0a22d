"""How a network is called: its arguments, with the tensors among them apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec, tree_flatten, tree_leaves, tree_unflatten

from normwise.errors import UsageError


@dataclass(frozen=True)
class Call:
    """The arguments of one call.

    Attributes:
        leaves: all values in the arguments, tensors and others, in order.
        spec: how `(args, kwargs)` is made of them.

    Example:
        >>> import torch
        >>> call = Call.of({"input": torch.ones(4, 2)})
        >>> str(call), call(nn.Linear(2, 3)).shape
        ('of shape (4, 2)', torch.Size([4, 3]))
    """

    leaves: tuple[Any, ...]
    spec: TreeSpec

    @classmethod
    def of(cls, example: Any) -> "Call":
        """Read an example: a tensor, a sequence of positional or a mapping of named arguments.

        A call is returned as it is.

        Raises:
            UsageError: it is something else, or holds no tensor.
        """
        if isinstance(example, Call):
            return example
        if isinstance(example, Tensor):
            arguments: Any = (example,), {}
        elif isinstance(example, Mapping):
            arguments = (), dict(example)
        elif isinstance(example, Sequence) and not isinstance(example, str):
            arguments = tuple(example), {}
        else:
            raise UsageError(
                f"example is a {type(example).__name__}: give a tensor, a tuple of positional "
                "arguments or a dict of named ones, as the network is called with"
            )
        call = cls.of_arguments(*arguments)
        if not any(tensor.numel() for tensor in call.tensors):
            raise UsageError(
                "example holds no tensor with values: give the network's inputs as tensors, batch "
                "first, with one sample at least"
            )
        return call

    @classmethod
    def of_batch(cls, batch: Any) -> "Call":
        """Read a batch of a loader: of a tuple or list the first element is the only argument."""
        if isinstance(batch, Mapping):
            return cls.of_arguments((), batch)
        several = isinstance(batch, Sequence) and not isinstance(batch, str) and len(batch)
        return cls.of_arguments((batch[0] if several else batch,), {})

    @classmethod
    def of_arguments(cls, args: Sequence[Any], kwargs: Mapping[str, Any]) -> "Call":
        """Read the arguments of a call."""
        leaves, spec = tree_flatten((tuple(args), dict(kwargs)))
        return cls(tuple(leaves), spec)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments."""
        return [leaf for leaf in self.leaves if isinstance(leaf, Tensor)]

    @property
    def args(self) -> tuple[Any, ...]:
        """The positional arguments."""
        return tree_unflatten(list(self.leaves), self.spec)[0]

    @property
    def kwargs(self) -> dict[str, Any]:
        """The named arguments."""
        return tree_unflatten(list(self.leaves), self.spec)[1]

    @property
    def plain(self) -> bool:
        """Whether the arguments are nothing but tensors, by position."""
        return not self.kwargs and all(isinstance(argument, Tensor) for argument in self.args)

    def replaced(self, tensors: Sequence[Tensor]) -> "Call":
        """Return the same call with other tensors."""
        supply = iter(tensors)
        leaves = (next(supply) if isinstance(leaf, Tensor) else leaf for leaf in self.leaves)
        return Call(tuple(leaves), self.spec)

    def to(self, device: torch.device) -> "Call":
        """Return the same call with its tensors on a device."""
        return self.replaced([tensor.to(device) for tensor in self.tensors])

    def copied(self) -> "Call":
        """Return the same call with copies of the tensors."""
        return self.replaced([tensor.clone() for tensor in self.tensors])

    @property
    def size(self) -> int:
        """How many samples there are: the length of the first tensor that has one."""
        return next((len(tensor) for tensor in self.tensors if tensor.ndim), 0)

    def resized(self, resize: Callable[[Tensor], Tensor]) -> "Call":
        """Return the same call with other samples: of every tensor that has one for each."""
        size = self.size
        return self.replaced([resize(t) if t.ndim and len(t) == size else t for t in self.tensors])

    def __str__(self) -> str:
        """Tell the shapes of the tensors."""
        shapes = [str(tuple(tensor.shape)) for tensor in self.tensors]
        return f"of shape{'s' if len(shapes) > 1 else ''} {', '.join(shapes)}"

    def __call__(self, network: nn.Module) -> Any:
        """Call a network; its own inputs are copies, so in-place operations leave ours alone."""
        copies = self.copied()
        return network(*copies.args, **copies.kwargs)

    def outputs(self, network: nn.Module) -> list[Any]:
        """Call a network and return the leaves of what it gives."""
        return tree_leaves(self(network))
