"""What every edit does around its own work: all or nothing, a trial, optimizer, record."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from normwise.edit.log import Edit, remember
from normwise.edit.optimizing import hand_over
from normwise.edit.transaction import all_or_nothing
from normwise.errors import UsageError
from normwise.trace import Call, Trace, trace, undisturbed


@contextmanager
def editing(
    network: nn.Module, example: Any = None, optimizer: Optimizer | None = None
) -> Iterator[list[Edit]]:
    """Carry out an edit, wholly or not at all.

    If the block raises, or the edited network does not run on the example, the network is put back
    as it was. Otherwise the optimizer follows, and the changes that the block has listed are kept
    for `edits`.

    Args:
        network: the network that the block changes.
        example: arguments to try the edited network on in both modes, or None.
        optimizer: of the network's parameters, or None.

    Raises:
        UsageError: the edited network does not run.
    """
    made: list[Edit] = []
    before = dict(network.named_parameters())
    with all_or_nothing(network):
        yield made
        if example is not None:
            _try(network, Call.of(example))
    if optimizer is not None:
        hand_over(optimizer, before, dict(network.named_parameters()))
    remember(network, made)


def traced(network: nn.Module, example: Any) -> Trace:
    """Follow one forward pass, as `trace` does.

    Raises:
        UsageError: the network does not run on the example, or it is none.
    """
    call = Call.of(example)
    with running(call, "training"):
        return trace(network, call)


def _try(network: nn.Module, call: Call) -> None:
    for training, mode in ((True, "training"), (False, "evaluation")):
        try:
            # Some forwards fail only with gradients (in-place on views), fused kernels run without.
            with running(call, mode), undisturbed(network), torch.set_grad_enabled(training):
                call(network.train(training))
        except UsageError as error:
            raise UsageError(
                f"after this edit {error}. Nothing was changed. Does the forward use what the edit "
                "removes, or expect a module of the former class?"
            ) from error


@contextmanager
def running(call: Call, mode: str) -> Iterator[None]:
    """Turn whatever a network raises on an example into one clear error.

    Raises:
        UsageError: the block has raised.
    """
    try:
        yield
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"the network does not run on the example {call} in {mode} mode: {lines[0].rstrip('.')}"
        ) from error
