"""Call a network many times, each with random numbers of its own."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from normwise.edit.editing import running
from normwise.edit.sampling.drawing import Drawing
from normwise.edit.units import tensors_in
from normwise.errors import UsageError
from normwise.trace import Call, undisturbed
from normwise.trace.functions import NORM_TYPES

MEMORY = 2**28
"""How many bytes the largest tensor of a pass may take."""


@contextmanager
def sampling(network: nn.Module, arguments: Call) -> Iterator["Passes"]:
    """Put a network into evaluation mode, but for the modules that draw numbers in training.

    On leaving, it is as it was.

    Raises:
        UsageError: it does not run on the arguments, or nothing in it draws random numbers in
            training.
    """
    with (
        undisturbed(network),
        _own_generators(network),
        torch.no_grad(),
        _NormsInEvaluation(),
    ):
        network.train()
        for module in network.modules():
            if isinstance(module, NORM_TYPES):
                module.training = False  # its own mode, not that of what it hosts
        with running(arguments, "training"), Drawing(network) as drawing:
            arguments(network)
        if not drawing.drawn:
            raise UsageError(
                "nothing in this network draws random numbers in training, so that all "
                "predictions would be equal: give it dropout with p > 0, for instance by "
                "insert_dropout"
            )
        network.eval()
        for module in drawing.drawn:
            module.training = True
        yield Passes(network, arguments, drawing)


class Passes:
    """Passes through a network within `sampling`.

    Args:
        network: any that runs on the arguments.
        arguments: what it is called with.
        drawing: what one pass draws.
    """

    def __init__(self, network: nn.Module, arguments: Call, drawing: Drawing) -> None:
        self._network, self._arguments, self._drawing = network, arguments, drawing
        self._leaves: list[Any] = []
        self._spec: TreeSpec | None = None

    def draw(self, samples: int, seed: int) -> Iterator[list[Tensor]]:
        """Yield the tensors that the network returns, with the samples of a pass as first axis.

        Args:
            samples: how many, over all passes.
            seed: of the random numbers.
        """
        at_once = max(1, min(samples, MEMORY // self._drawing.largest))
        sizes = [min(at_once, samples - start) for start in range(0, samples, at_once)]
        for passes in (self._with_masks_alone, self._with_inputs):
            self._start(seed)
            try:
                first = self._checked(passes, sizes[0])
            except Exception:  # what torch.vmap cannot do, or what the network raises by itself
                continue
            yield first
            yield from map(passes, sizes[1:])
            return
        self._start(seed)
        for _ in range(samples):
            yield [tensor[None] for tensor in self._once(self._arguments)]

    def _checked(self, passes: "Together", count: int) -> list[Tensor]:
        """Make sure that every module draws for every sample: torch.vmap can forget it."""
        with Drawing(self._network) as drawing:
            outputs = passes(count)
        if drawing.drawn != {m: count * each for m, each in self._drawing.drawn.items()}:
            raise RuntimeError("some samples share their random numbers")
        return outputs

    def _with_masks_alone(self, count: int) -> list[Tensor]:
        """Pass samples together from the first dropout on; until then they do not differ."""
        once = torch.vmap(lambda _: self._once(self._arguments), randomness="different")
        return list(once(torch.empty(count)))

    def _with_inputs(self, count: int) -> list[Tensor]:
        """Pass samples together from the inputs on, since some dropouts cannot begin it."""

        def once(tensors: list[Tensor]) -> tuple[Tensor, ...]:
            return self._once(self._arguments.replaced(tensors))

        copies = [tensor.expand(count, *tensor.shape) for tensor in self._arguments.tensors]
        return list(torch.vmap(once, randomness="different")(copies))

    def arranged(self, tensors: list[Tensor]) -> Any:
        """Return tensors in the places in which the network returns its own."""
        assert self._spec is not None
        supply = iter(tensors)
        leaves = [next(supply) if isinstance(leaf, Tensor) else leaf for leaf in self._leaves]
        return tree_unflatten(leaves, self._spec)

    def _once(self, arguments: Call) -> tuple[Tensor, ...]:
        output = arguments(self._network)
        self._leaves, self._spec = tree_flatten(output)
        return tuple(tensors_in(output))

    def _start(self, seed: int) -> None:
        torch.manual_seed(seed)
        for number, generator in enumerate(_generators(self._network), start=1):
            generator.manual_seed(seed + number)


Together = Callable[[int], list[Tensor]]


class _NormsInEvaluation(TorchFunctionMode):
    """Lets norms that are called as functions use running statistics where they have some.

    A mode like this also keeps torch's encoder layers from their fused kernels, which know no
    dropout.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if (flag := _FLAGS.get(func)) is None:
            return func(*args, **kwargs)
        bound = inspect.signature(func).bind(*args, **kwargs)
        if bound.arguments.get("running_mean") is not None:
            bound.arguments[flag] = False
        return func(*bound.args, **bound.kwargs)


_FLAGS = {F.batch_norm: "training", F.instance_norm: "use_input_stats"}


@contextmanager
def _own_generators(network: nn.Module) -> Iterator[None]:
    """Restore the generators that modules keep for themselves."""
    states = [(generator, generator.get_state()) for generator in _generators(network)]
    try:
        yield
    finally:
        for generator, state in states:
            generator.set_state(state)


def _generators(network: nn.Module) -> list[Generator]:
    values = (value for module in network.modules() for value in vars(module).values())
    return list(dict.fromkeys(value for value in values if isinstance(value, Generator)))
