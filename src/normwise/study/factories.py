"""Networks from the user's factory: made with a seed, and checked before anything trains."""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from normwise.data import Data, Split
from normwise.errors import Problems, UsageError
from normwise.references import load_reference
from normwise.stack import Objective, seeded
from normwise.study.variants import Factory, Variant
from normwise.trace import undisturbed

_EXAMPLES = 8


def resolve_factory(model: str | Factory) -> Factory:
    """Return the factory that a user means, and make sure that it makes networks.

    Args:
        model: a function without arguments that returns a fresh `nn.Module`, a module class, or
            such a function's address, `file.py:factory` or `module:factory`.

    Raises:
        UsageError: it is not callable, needs arguments, raises, or does not return a network.

    Example:
        >>> resolve_factory(lambda: nn.Linear(4, 2))()
        Linear(in_features=4, out_features=2, bias=True)
    """
    if isinstance(model, nn.Module):
        raise UsageError(
            "the model is a network, and every seed needs a fresh one: give a function that makes "
            f"it, such as lambda: {type(model).__name__}(...)"
        )
    factory = load_reference(model, "a network factory") if isinstance(model, str) else model
    label = _label(factory)
    if not callable(factory):
        raise UsageError(
            f"the model is a {type(factory).__name__}: give a function that makes a network, or "
            "its address, file.py:factory"
        )
    needed = _needed_arguments(factory)
    if needed:
        raise UsageError(
            f"{label} needs arguments ({', '.join(needed)}), and it is called without: bind them, "
            f"such as lambda: {label}({needed[0]}=...)"
        )
    if make(factory, 0) is make(factory, 0):
        raise UsageError(
            f"{label} returns the same network twice, and every seed needs a fresh one: build it "
            "inside the function"
        )
    return factory


def make(factory: Factory, seed: int) -> nn.Module:
    """Call a factory as after `torch.manual_seed(seed)`, leaving all random states as they were.

    Raises:
        UsageError: it raises, or returns something else than a network.
    """
    label = _label(factory)
    try:
        with seeded(seed):
            network = factory()
    except Exception as error:
        raise UsageError(f"{label} raised {_told(error)}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"{label} returned a {type(network).__name__}, not an nn.Module: does it end with "
            "'return network'?"
        )
    return network


@dataclass(frozen=True)
class Workshop:
    """Builds the networks of a study, all from the same data.

    Attributes:
        factory: of the network that variants change.
        data: what it trains on.
        objective: its loss and metric.
    """

    factory: Factory
    data: Data
    objective: Objective

    def build(self, variant: Variant, seed: int) -> nn.Module:
        """Return a variant's network for a seed, on the data's device.

        Raises:
            UsageError: the factory fails, or the variant cannot be applied to its network.
        """
        network = make(variant.factory or self.factory, seed).to(self.data.train.x.device)
        return variant.edit(network, self.example.x, seed)

    def check(self, variants: list[Variant], seed: int, batch_size: int) -> None:
        """Build every variant once and let it learn from one batch, on the side.

        Raises:
            UsageError: all that is wrong with all variants, the network itself first.
        """
        self._check_network(make(self.factory, seed))
        problems = Problems()
        for variant in variants:
            try:
                self._check_training(self.build(variant, seed), batch_size)
            except UsageError as error:
                problems.add(*(f"variant {variant.name!r}: {p}" for p in error.problems))
        problems.raise_if_any()

    @property
    def example(self) -> Split:
        """A few training samples to trace networks with."""
        return Split(self.data.train.x[:_EXAMPLES], self.data.train.y[:_EXAMPLES])

    def _check_network(self, network: nn.Module) -> None:
        """Run the user's own network, so that its faults are not reported once per variant."""
        x, y = self.example.x, self.example.y
        network = network.to(x.device)
        with undisturbed(network), torch.no_grad():
            try:
                output = network.train()(x)
            except Exception as error:
                raise UsageError(_forward_failure(network, x, error)) from error
            self._check_output(output, y)

    def _check_output(self, output: Any, y: Tensor) -> None:
        if not isinstance(output, Tensor):
            raise UsageError(
                f"the network returns a {type(output).__name__}, and a tensor is needed: wrap it "
                "in a module that returns the tensor"
            )
        shape, target = tuple(output.shape), tuple(y.shape)
        classes = self.data.classes
        if self.data.task == "regression":
            if shape != target and shape != (*target, 1):
                raise UsageError(
                    f"the network gives shape {shape} for targets of shape {target}: for this "
                    f"regression its last layer needs {target[-1] if len(target) > 1 else 1} outputs"
                )
        elif classes is not None and not (classes == 2 and shape in (target, (*target, 1))):
            outputs = shape[1] if len(shape) > 1 else 1
            if len(shape) != len(target) + 1:
                raise UsageError(
                    f"the network gives shape {shape} for {len(y)} samples, and {classes} classes "
                    f"need ({len(y)}, {classes}): one output per class"
                )
            if outputs < classes and len(target) == 1:
                raise UsageError(
                    f"the network gives {outputs} outputs, and the data has {classes} classes: its "
                    f"last layer needs {classes}"
                )

    def _check_training(self, network: nn.Module, batch_size: int) -> None:
        trained = [p for p in network.parameters() if p.requires_grad]
        if not trained:
            raise UsageError("the network has no parameters that could be trained")
        train = self.data.train
        with undisturbed(network):
            try:
                loss = self.objective.loss(
                    network.train()(train.x[:batch_size]), train.y[:batch_size]
                )
            except Exception as error:
                raise UsageError(
                    f"one training step on {batch_size} samples raised {_told(error)}"
                ) from error
            if loss.ndim or not loss.requires_grad:
                raise UsageError(
                    f"the loss has shape {tuple(loss.shape)}"
                    f"{'' if loss.requires_grad else ' and no gradient'}: a loss is one number, "
                    "the mean over the batch, that depends on the network's output"
                )


def _forward_failure(network: nn.Module, x: Tensor, error: Exception) -> str:
    kind = str(x.dtype).removeprefix("torch.")
    if not x.is_floating_point() and _runs(network, x.float()):
        return (
            f"x holds {kind}, and the network needs floating-point numbers: convert it, such as "
            "x.astype('float32') / 255 for images"
        )
    return f"the network fails on a batch of shape {tuple(x.shape)} ({kind}): {_told(error)}"


def _runs(network: nn.Module, x: Tensor) -> bool:
    try:
        network(x)
    except Exception:
        return False
    return True


def _needed_arguments(factory: Callable[..., Any]) -> list[str]:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return []  # builtins tell nothing; calling them will
    plain = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in plain]


def _label(factory: Any) -> str:
    return f"{getattr(factory, '__name__', type(factory).__name__)}"


def _told(error: Exception) -> str:
    """An exception in one line: its type, its message, and where in the user's file it arose."""
    message = " ".join(str(error).split()) or "no message"
    frames = traceback.extract_tb(error.__traceback__)
    here = Path(__file__).parents[1]
    theirs = [
        frame
        for frame in frames
        if here not in Path(frame.filename).parents and "site-packages" not in frame.filename
    ]
    place = f" ({Path(theirs[-1].filename).name}:{theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {message}{place}"
