"""Record one training step of many runs as a flat program, and replay it.

The user's forward runs once under torch.vmap, with the loss and its gradients, while every
operation on all runs' tensors is written down (torch.fx). The program is then replayed without the
forward, without vmap and without autograd: some dozens of tensor operations, one after another.
"""

import copy
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from normwise.samples import Samples, Targets, each, forward, like
from normwise.samples import tensors as tensors_of
from normwise.stack.calling import Tensors, call
from normwise.stack.forms import DropoutForms, Masks, Site, StackedForms
from normwise.stack.lightening import lighten
from normwise.stack.products import Product
from normwise.stack.seeding import seeded
from normwise.stack.sharing import repeated
from normwise.stack.tape import taped

# Names under which torch's modules keep what is theirs.
_TORCH_OWN = {name for name in vars(nn.RNN(1, 1)) if name.startswith("_")}


# What torch says, mostly about torch, and what it means.
_PLAINLY = {
    "data-dependent control flow": "decides by the data",
    "called random operation": "draws random numbers of its own",
    "calling .item()": "takes a number out of a tensor, as .item() and float() do",
    "must override the setup_context": "uses an autograd.Function that has no rule for torch.vmap",
    "does not have vmap support": "uses an autograd.Function that has no rule for torch.vmap",
    "Batching rule not implemented": "uses an operation that torch.vmap has no rule for",
    "may have escaped": "keeps tensors where torch.vmap loses them, as checkpointing does",
}


class NotStackable(Exception):  # noqa: N818  (no mistake of anybody's: the loop takes over)
    """The runs cannot train as one program; the message says why.

    Example:
        >>> from normwise.data import Split
        >>> from normwise.stack import Objective, Recipe, Stacked
        >>> network = nn.Sequential(nn.Linear(2, 1), nn.AlphaDropout())
        >>> example = Split(torch.rand(8, 2), torch.rand(8))
        >>> Stacked([network], [Recipe()], Objective("regression"), [0], example)
        Traceback (most recent call last):
        normwise.stack.recording.NotStackable: the forward draws random numbers of its own
    """


Gradients = dict[str, Tensor | Product]


@dataclass(frozen=True)
class Bonus:
    """A term that is minimised with the loss, and is no part of the loss that is returned.

    Attributes:
        term: of a run's output and target.
        strengths: what it is multiplied by, one for each run.
    """

    term: Callable[[Any, Any], Tensor]
    strengths: Sequence[float]


@dataclass(frozen=True)
class Program:
    """A recorded training step of all runs.

    Attributes:
        graph: takes x, y and masks, all with the runs in front, and returns the losses and the
            gradients. It holds the parameters, and the buffers, which it updates.
        trained: the parameters that have a gradient, in its order.
        are_products: for each, whether the graph returns its factors.
        sites: the dropouts that need a mask.
        memory: bytes of the intermediate results that are alive at once, at most.
    """

    graph: fx.GraphModule
    trained: tuple[str, ...]
    are_products: tuple[bool, ...]
    sites: tuple[Site, ...]
    memory: int

    def __call__(self, x: Samples, y: Targets, masks: Sequence[Tensor]) -> tuple[Tensor, Gradients]:
        """Return losses (runs,) and gradients by name; a product is that of the transpose."""
        with torch.inference_mode():  # nothing here is for autograd, whose bookkeeping takes time
            losses, *results = self.graph(*tensors_of(x), *tensors_of(y), *masks)
        gradients = (
            Product(*result) if is_product else result
            for result, is_product in zip(results, self.are_products, strict=True)
        )
        return losses, dict(zip(self.trained, gradients, strict=True))


def record(
    network: nn.Module,
    loss_of: Callable[[Any, Any], Tensor],
    parameters: Tensors,
    buffers: Tensors,
    x: Samples,
    y: Targets,
    bonus: Bonus | None = None,
) -> Program:
    """Record a training step.

    Args:
        network: the module whose forward the runs share; it is left as it was.
        loss_of: their loss, of output and target.
        parameters: of all runs, by name, runs first.
        buffers: likewise. Recording leaves them as they were; the program will update them.
        x: batches, shape (batches, samples, ...); run r takes number r modulo their count.
        y: their targets.
        bonus: what is minimised besides the loss.

    Raises:
        NotStackable: the forward draws random numbers, decides by the data, keeps a state of its
            own, or uses what torch.vmap or torch.fx cannot follow.
    """
    sites = _sites(network, each(x, lambda batches: batches[0]))
    names = list(parameters), list(buffers)
    trained: list[str] = []
    runs = len(next(iter(parameters.values())))

    def step(*tensors: Tensor) -> tuple[Tensor, ...]:
        values = iter(tensors)
        weights = {name: next(values).detach().requires_grad_() for name in names[0]}
        state = {name: next(values) for name in names[1]}
        inputs = like(x, [repeated(next(values), runs) for _ in tensors_of(x)])
        targets = like(y, [repeated(next(values), runs) for _ in tensors_of(y)])
        masks = list(values)

        def loss(
            weights: Tensors, state: Tensors, x: Samples, y: Targets, *masks: Tensor
        ) -> tuple[Tensor, ...]:
            with StackedForms(Masks(masks)):
                output = call(network, weights | state, x)
                terms = () if bonus is None else (bonus.term(output, y),)
                return loss_of(output, y), *terms

        losses, *terms = torch.vmap(loss, randomness="error")(
            weights, state, inputs, targets, *masks
        )
        whole = losses.sum()
        if bonus is not None:
            whole = whole + (terms[0].new_tensor(bonus.strengths) * terms[0]).sum()
        gradients = torch.autograd.grad(whole, list(weights.values()), allow_unused=True)
        found = {n: g for n, g in zip(names[0], gradients, strict=True) if g is not None}
        trained[:] = found
        return losses.detach(), *found.values()

    batches = [*tensors_of(x), *tensors_of(y)]
    masks = [batches[0].new_ones((runs, *site.shape), dtype=site.dtype) for site in sites]
    copies = {name: buffer.clone() for name, buffer in buffers.items()}
    with warnings.catch_warnings():
        # Of what torch.vmap does run by run; whether a stack pays all the same is measured.
        warnings.filterwarnings("ignore", "There is a performance drop")
        graph = taped(step, [*parameters.values(), *copies.values(), *batches, *masks])
    memory, are_products = lighten(graph, [*parameters.values(), *buffers.values()])
    return Program(graph, tuple(trained), tuple(are_products[1:]), tuple(sites), memory)


@contextmanager
def refusing() -> Iterator[None]:
    """Make whatever goes wrong inside a `NotStackable`: alone the runs may train, or say more."""
    try:
        yield
    except NotStackable:
        raise
    except Exception as error:
        raise NotStackable(_reason(error)) from error


def _sites(network: nn.Module, x: Samples) -> list[Site]:
    """Find the dropouts in a forward of one run, and make sure that it has no state of its own."""
    network = copy.deepcopy(network).train()
    before = attributes(network)
    masks = Masks()
    with DropoutForms(masks):
        if _is_random(network, x):
            raise NotStackable("the forward draws random numbers of its own")
    if _is_random(network.eval(), x):
        raise NotStackable("the forward draws random numbers in evaluation")
    if attributes(network.train()) != before:
        raise NotStackable("the forward changes attributes of its modules")
    return masks.sites


def _is_random(network: nn.Module, x: Samples) -> bool:
    with seeded(0), torch.no_grad():
        states = _random_states()
        forward(network, x)
        return _random_states() != states


def _random_states() -> tuple[object, ...]:
    torch_state = torch.get_rng_state().numpy().tobytes()
    return torch_state, random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore


def attributes(network: nn.Module) -> dict[str, str]:
    """The modules' plain attributes, which a program could not change when it is replayed."""
    plain = {
        f"{path}.{name}".removeprefix("."): repr(value)
        for path, module in network.named_modules()
        for name, value in vars(module).items()
        if name not in _TORCH_OWN
    }
    return plain | {name: "a buffer" for name, _ in network.named_buffers()}


def _reason(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    for theirs, ours in _PLAINLY.items():
        if theirs in text:
            return f"the forward {ours}"
    return f"the forward cannot be recorded for many runs ({text.splitlines()[0]})"
