"""Evidence from a few steps on the side, of a network that is not being trained."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves, tree_map

from normwise.evidence.evidence import Evidence
from normwise.evidence.observer import Observer
from normwise.evidence.schedule import Schedule
from normwise.trace import undisturbed

Loss = Callable[[Any, Any], Tensor]


def probe(
    network: nn.Module,
    batches: Sequence[Any],
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
) -> Evidence:
    """Run a network forward, backward and, given an optimizer, for one step per batch.

    It trains in training mode, parts of it that are in evaluation mode excepted, and is then run
    in evaluation mode on the first batch. Network, optimizer, gradients and random state are left
    as they were.

    Args:
        network: any module.
        batches: each a tensor, a mapping of keyword arguments, or inputs and a target.
        loss: of output and target; None ends at the forward pass, unless the network itself
            returns something with a `loss`.
        optimizer: of the network's parameters.

    Raises:
        Exception: whatever the network, the loss or the optimizer raises.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> evidence = probe(net, [torch.randn(32, 4)])
        >>> evidence.level.name, evidence.activations["1"].output.count
        ('FORWARD', 32)
    """
    observer = Observer({"": network}, [optimizer] if optimizer else [], Schedule(every=1))
    with undisturbed(network), _set_aside(network, optimizer), torch.enable_grad():
        if not network.training:
            network.train()
        observer.attach()
        try:
            for batch in batches:
                _step(network, batch, loss, optimizer, observer)
            network.eval()
            with torch.no_grad():
                _call(network, batches[0])
        finally:
            observer.detach()
        return replace(observer.evidence(), leak=leak(network, batches[0]))


def leak(network: nn.Module, batch: Any) -> float | None:
    """Return by how much a sample's output depends on the other samples of its batch.

    The first sample is run once with the others and once among copies of itself.

    Args:
        network: in evaluation mode.
        batch: as for `probe`.

    Returns:
        The largest change of the first sample's output, relative to the output's largest value;
        None for a batch of one, or an output that does not count samples.

    Example:
        >>> leak(nn.BatchNorm1d(3).eval(), torch.randn(8, 3))
        0.0
    """
    size = len(next((x for x in tree_leaves(batch) if isinstance(x, Tensor) and x.ndim), ()))

    def alone(value: Any) -> Any:
        counts = isinstance(value, Tensor) and value.ndim > 0 and len(value) == size
        return value[:1].expand_as(value) if counts else value

    outputs = []
    for given in (batch, tree_map(alone, batch)):
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(0)  # the same masks, where dropout is on even now
            outputs.append(_first_samples(_call(network, given), size))
    if size < 2 or outputs[0] is None or outputs[1] is None:
        return None
    largest = outputs[0].abs().max().item()
    return (outputs[0] - outputs[1]).abs().max().item() / largest if largest else 0.0


def _first_samples(output: Any, size: int) -> Tensor | None:
    for leaf in tree_leaves(output):
        if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.ndim > 0:
            return leaf[0].double() if len(leaf) == size and leaf[0].numel() else None
    return None


def _step(
    network: nn.Module,
    batch: Any,
    loss: Loss | None,
    optimizer: Optimizer | None,
    observer: Observer,
) -> None:
    def evaluate() -> Any:
        for parameter in network.parameters():
            parameter.grad = None
        output = _call(network, batch)
        value = getattr(output, "loss", None)
        if loss is not None and isinstance(batch, tuple | list) and len(batch) > 1:
            value = loss(output, batch[-1])
        if value is not None:
            value.backward()
        return value

    if optimizer is None:
        evaluate()
        observer.end_step()
    elif signature(optimizer.step).parameters["closure"].default is Parameter.empty:
        step: Callable[[Any], Any] = optimizer.step
        step(evaluate)  # such as L-BFGS, which evaluates several times
    elif evaluate() is not None:
        optimizer.step()


def _call(network: nn.Module, batch: Any) -> Any:
    if isinstance(batch, Mapping):
        return network(**{k: _fresh(v) for k, v in batch.items()})
    inputs = batch if isinstance(batch, tuple | list) else (batch,)
    return network(*map(_fresh, inputs[:-1] if len(inputs) > 1 else inputs))


def _fresh(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value  # it may be changed in place


@contextmanager
def _set_aside(network: nn.Module, optimizer: Optimizer | None) -> Iterator[None]:
    """Put gradients and the optimizer's state aside, and back on leaving."""
    gradients = [(parameter, parameter.grad) for parameter in network.parameters()]
    state = None if optimizer is None else optimizer.state
    if optimizer is not None:
        optimizer.state = defaultdict(
            dict, {parameter: deepcopy(kept) for parameter, kept in optimizer.state.items()}
        )
    try:
        yield
    finally:
        for parameter, gradient in gradients:
            parameter.grad = gradient
        if optimizer is not None and state is not None:
            optimizer.state = state
