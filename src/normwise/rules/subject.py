"""What the command line checks: a network and data that are named in text."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from normwise.data import load
from normwise.errors import Problems, UsageError, suggest
from normwise.references import call_reference, load_reference
from normwise.samples import Samples, Targets
from normwise.stack import OPTIMIZERS, Recipe, goal_of


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with what is needed to train it for a few steps.

    Attributes:
        network: from the user's factory.
        batches: inputs and targets of the training split.
        loss: of the data's task.
        optimizer: of the network's parameters.

    Example:
        >>> load_subject("normwise.rules.subject:example", "digits").optimizer.param_groups[0]["lr"]
        0.01
    """

    network: nn.Module
    batches: list[tuple[Samples, Targets]]
    loss: Callable[[Tensor, Tensor], Tensor]
    optimizer: Optimizer


def load_subject(
    model: str,
    data: str,
    *,
    batch_size: int = 64,
    steps: int = 8,
    optimizer: str = "sgd",
    lr: float = 0.01,
) -> Subject:
    """Make the network and the batches that the user named.

    Args:
        model: `file.py:factory` or `module:factory`, a function without arguments that returns a
            network.
        data: as `nw.data.load` takes it.
        batch_size: samples in a batch, fewer where the data are fewer.
        steps: how many batches, fewer where the data are fewer.
        optimizer: `sgd`, `adam` or `adamw`.
        lr: learning rate.

    Raises:
        UsageError: all that makes no sense, at once.

    Example:
        >>> subject = load_subject("normwise.rules.subject:example", "digits", steps=2)
        >>> [tuple(x.shape) for x, y in subject.batches]
        [(64, 1, 8, 8), (64, 1, 8, 8)]
    """
    problems = Problems()
    for name, value in (("batch_size", batch_size), ("steps", steps)):
        if value < 1:
            problems.add(f"{name}={value}: at least 1 is needed")
    if not lr > 0:
        problems.add(f"lr={lr}: a learning rate is positive")
    if optimizer not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        problems.add(f"optimizer={optimizer!r}: known are {known}{suggest(optimizer, OPTIMIZERS)}")
    network = loaded = None
    with problems.collect():
        network = _network(model)
    with problems.collect():
        loaded = load(data)
    problems.raise_if_any()
    assert network is not None
    assert loaded is not None
    order = torch.randperm(len(loaded.train), generator=torch.Generator().manual_seed(0))
    chosen = (loaded.train[rows] for rows in order[: batch_size * steps].split(batch_size))
    batches = [(batch.x, batch.y) for batch in chosen]
    return Subject(
        network,
        batches,
        goal_of(loaded).loss,
        Recipe(optimizer, lr=lr).build(network.parameters()),
    )


def _network(model: str) -> nn.Module:
    network = call_reference(load_reference(model, "a network factory"), model)
    if not isinstance(network, nn.Module):
        raise UsageError(f"{model} returns a {type(network).__name__}, not an nn.Module")
    return network


def example() -> nn.Module:
    """Return a network for the digits.

    Example:
        >>> example()(torch.zeros(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
