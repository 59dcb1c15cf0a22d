"""Record one training step of many runs as a flat program, and replay it.

The user's forward runs once under torch.vmap, with the loss and its gradients, while every
operation on all runs' tensors is written down (torch.fx). The program is then replayed without the
forward, without vmap and without autograd: some dozens of tensor operations, one after another.
"""

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from normwise.stack.forms import DropoutForms, Masks, Site, StackedForms
from normwise.stack.objective import Objective

Tensors = dict[str, Tensor]


class NotStackable(Exception):
    """The runs cannot train as one program; the message says why."""


@dataclass(frozen=True)
class Program:
    """A recorded training step of all runs.

    Attributes:
        graph: takes parameters, buffers (which it updates), x, y and masks, all with the runs in
            front, and returns the losses and the gradients in the order of the parameters.
        sites: the dropouts that need a mask.
    """

    graph: fx.GraphModule
    sites: tuple[Site, ...]

    def __call__(
        self, parameters: Tensors, buffers: Tensors, x: Tensor, y: Tensor, masks: Sequence[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """Return losses (runs,) and gradients."""
        losses, *gradients = self.graph(
            *parameters.values(), *buffers.values(), x, y, *masks
        )
        return losses, gradients


def record(
    network: nn.Module,
    objective: Objective,
    parameters: Tensors,
    buffers: Tensors,
    x: Tensor,
    y: Tensor,
) -> Program:
    """Record a training step.

    Args:
        network: the module whose forward the runs share; it is left as it was.
        objective: their loss.
        parameters: of all runs, by name, runs first.
        buffers: likewise; left as they were.
        x: a batch of every run, shape (runs, batch, ...).
        y: its targets.

    Raises:
        NotStackable: the forward draws random numbers, decides by the data, keeps a state of its
            own, or uses what torch.vmap or torch.fx cannot follow.
    """
    sites = _sites(network, x[0])
    names = list(parameters), list(buffers)
    runs = len(x)

    def step(*tensors: Tensor) -> tuple[Tensor, ...]:
        values = iter(tensors)
        weights = {name: next(values).detach().requires_grad_() for name in names[0]}
        state = {name: next(values) for name in names[1]}
        x, y, *masks = values

        def loss(
            weights: Tensors, state: Tensors, x: Tensor, y: Tensor, *masks: Tensor
        ) -> Tensor:
            with StackedForms(Masks(masks)):
                output = functional_call(network, (weights, state), (x,))
                return objective.loss(output, y)

        losses = torch.vmap(loss, randomness="error")(weights, state, x, y, *masks)
        gradients = torch.autograd.grad(losses.sum(), list(weights.values()), allow_unused=True)
        filled = (
            torch.zeros_like(weight) if gradient is None else gradient
            for weight, gradient in zip(weights.values(), gradients, strict=True)
        )
        return losses.detach(), *filled

    masks = [x.new_ones((runs, *site.shape), dtype=site.dtype) for site in sites]
    copies = {name: buffer.clone() for name, buffer in buffers.items()}
    try:
        graph = make_fx(step)(*parameters.values(), *copies.values(), x, y, *masks)
    except Exception as error:
        raise NotStackable(_reason(error)) from error
    _simplify(graph)
    return Program(graph, tuple(sites))


def _sites(network: nn.Module, x: Tensor) -> list[Site]:
    """Find the dropouts in a forward of one run, and make sure that it has no state of its own."""
    network = copy.deepcopy(network).train()
    before, attributes = _random_states(), _attributes(network)
    masks = Masks()
    with torch.no_grad(), DropoutForms(masks):
        network(x)
    if _random_states() != before:
        raise NotStackable("the forward draws random numbers of its own")
    if _attributes(network) != attributes:
        raise NotStackable("the forward changes attributes of its modules")
    return masks.sites


def _random_states() -> tuple[object, ...]:
    torch_state = torch.get_rng_state().numpy().tobytes()
    return torch_state, random.getstate(), np.random.get_state()[1].tobytes()  # type: ignore


def _attributes(network: nn.Module) -> list[dict[str, str]]:
    """The modules' plain attributes, which a program could not change when it is replayed."""
    return [
        {name: repr(value) for name, value in vars(module).items() if not name.startswith("_")}
        for module in network.modules()
    ]


def _reason(error: Exception) -> str:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"its forward cannot be recorded for many runs ({first})"


_NOTHING = {torch.ops.aten.detach.default, torch.ops.aten.alias.default}


def _simplify(graph: fx.GraphModule) -> None:
    """Leave out what does nothing once autograd is gone."""
    for node in graph.graph.nodes:
        if node.op == "call_function" and node.target in _NOTHING:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
