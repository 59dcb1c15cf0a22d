"""Find the modules of a network that draw random numbers."""

from collections import Counter
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tag, Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from normwise.trace import hooked


class Drawing(TorchDispatchMode):
    """Watches a pass through a network.

    Attributes:
        drawn: the modules whose own forward draws random numbers, and how many.
        largest: the bytes of the largest tensor.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
        >>> with Drawing(net) as drawing:
        ...     _ = net(torch.ones(1, 2))
        >>> drawing.drawn
        Counter({Dropout(p=0.5, inplace=False): 2})
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.drawn: Counter[nn.Module] = Counter()
        self.largest = 1
        self._running: list[nn.Module] = []
        # A hook of the user's own that drops out belongs to the module that it is on.
        self._hooks = hooked(network, lambda _: self._enter, self._leave, around_others=True)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._hooks.__exit__(*error)

    def _enter(self, module: nn.Module, inputs: Any) -> None:  # noqa: ARG002
        self._running.append(module)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:  # noqa: ARG002
        self._running.pop()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        drew = False
        if Tag.nondeterministic_seeded in func.tags:
            output, drew = _watched(lambda: func(*args, **kwargs), (args, kwargs))
        else:
            output = func(*args, **kwargs)
        results = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        self.largest = max(self.largest, *(result.nbytes for result in results), 0)
        if drew and self._running:
            self.drawn[self._running[-1]] += results[0].numel()
        return output


def _watched(call: Callable[[], Any], arguments: Any) -> tuple[Any, bool]:
    """Call an operator that may draw random numbers, and tell whether it does."""
    leaves = tree_leaves(arguments)
    own = [leaf for leaf in leaves if isinstance(leaf, torch.Generator)]
    devices = {leaf.device for leaf in leaves if isinstance(leaf, Tensor) and leaf.is_cuda}

    def state() -> list[Tensor]:
        return [
            torch.get_rng_state(),
            *(torch.cuda.get_rng_state(device) for device in devices),
            *(generator.get_state() for generator in own),
        ]

    before = state()
    output = call()
    return output, not all(map(torch.equal, before, state()))
