"""Networks from the user's factory: made with a seed, and checked before anything trains."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normwise.data import Data, Split
from normwise.errors import Problems, UsageError
from normwise.references import call_reference, explain, load_reference
from normwise.samples import Samples, Targets, each, forward, tensors
from normwise.stack import Alone, Augmenter, Goal, Recipe, minimised, seeded
from normwise.study.variants import Factory, Variant
from normwise.trace import undisturbed

_EXAMPLES = 8


def resolve_factory(model: str | Factory) -> Factory:
    """Return the factory that a user means, and make sure that it makes networks.

    Args:
        model: a function without arguments that returns a fresh `nn.Module`, a module class, or
            such a function's address, `file.py:factory` or `module:factory`.

    Raises:
        UsageError: it is not callable, needs arguments, raises, or does not return a fresh network
            each time.

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
    if not callable(factory):
        raise UsageError(
            f"the model is a {type(factory).__name__}: give a function that makes a network, or "
            "its address, file.py:factory"
        )
    first, second = make(factory, 0), make(factory, 0)
    if first is second or _trained(first) & _trained(second):
        raise UsageError(
            f"{_label(factory)} returns the same network twice, and every seed needs a fresh one: "
            "build it inside the function"
        )
    if any(isinstance(p, nn.parameter.UninitializedParameter) for p in first.parameters()):
        raise UsageError(
            f"{_label(factory)} returns lazy layers, whose weights do not exist yet: run the "
            "network once inside the function, such as network(torch.zeros(2, 64))"
        )
    return factory


def make(factory: Factory, seed: int) -> nn.Module:
    """Call a factory as after `torch.manual_seed(seed)`, leaving all random states as they were.

    Raises:
        UsageError: it needs arguments, raises, or returns something else than a network.
    """
    with seeded(seed):
        network = call_reference(factory, _label(factory))
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"{_label(factory)} returned a {type(network).__name__}, not an nn.Module: does it end "
            "with 'return network'?"
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
    objective: Goal

    def build(self, variant: Variant, seed: int) -> nn.Module:
        """Return a variant's network for a seed, on the data's device.

        Raises:
            UsageError: the factory fails, or the variant cannot be applied to its network.
        """
        network = make(variant.factory or self.factory, seed).to(self.data.train.device)
        return variant.edit(network, self.example.x, seed)

    def check(
        self,
        network: nn.Module,
        variants: list[Variant],
        recipes: list[Recipe],
        seed: int,
        batch_size: int,
    ) -> None:
        """Build every variant once and let it learn from one batch, on the side.

        Args:
            network: of the factory; it is looked at, and stays as it is.
            variants: which.
            recipes: how each is trained.
            seed: of its network.
            batch_size: samples in a step.

        Raises:
            UsageError: all that is wrong with all variants, the network itself first.
        """
        self._check_network(network)
        problems = Problems()
        for variant, recipe in zip(variants, recipes, strict=True):
            with problems.collect(f"variant {variant.name!r}: "):
                if variant.factory is not None:
                    self._check_network(make(resolve_factory(variant.factory), seed))
                self._check_training(self.build(variant, seed), recipe, batch_size)
        problems.raise_if_any()

    @property
    def example(self) -> Split:
        """A few training samples to trace networks with."""
        return self.data.train[:_EXAMPLES]

    def _check_network(self, network: nn.Module) -> None:
        """Run the user's own network, so that its faults are not reported once per variant."""
        x = self.example.x
        network = network.to(self.example.device)
        with undisturbed(network), torch.no_grad():
            try:
                output = forward(network.train(), x)
            except Exception as error:
                raise UsageError(_forward_failure(network, x, error)) from error
        _check_outputs(output, self.example.y, self.data)

    def _check_training(self, network: nn.Module, recipe: Recipe, batch_size: int) -> None:
        """Take a step and an evaluation as the study will, but for the update of the weights."""
        if not _trained(network):
            raise UsageError("the network has no parameters that could be trained")
        if recipe.precision is not None and _is_double(network):
            raise UsageError(
                f"precision={recipe.precision}: the network is in float64, and nobody who needs "
                "its digits wants bfloat16's: leave precision out, or make it float32"
            )
        batch = self.data.train[:batch_size]
        with undisturbed(network):
            try:
                loss = self._loss(network.train(), recipe, batch)
            except UsageError:
                raise
            except Exception as error:
                raise UsageError(_failure("training step", batch, error)) from error
            _check_loss(loss)
            try:
                loss.backward()
            except Exception as error:
                raise UsageError(_failure("backward pass", batch, error)) from error
            try:
                Alone(network, recipe, self.objective).evaluate(batch)
            except UsageError:
                raise
            except Exception as error:
                raise UsageError(_failure("evaluation", batch, error)) from error

    def _loss(self, network: nn.Module, recipe: Recipe, batch: Split) -> Tensor:
        """Return what a step minimises."""
        augmenter = Augmenter([recipe.augment], [0], batch.device)
        x = each(augmenter(each(batch.x, lambda tensor: tensor[None])), lambda tensor: tensor[0])
        with recipe.autocast(batch.device):
            settings = recipe.label_smoothing, recipe.entropy
            return minimised(self.objective, forward(network, x), batch.y, *settings)[1]


def _check_outputs(output: Any, targets: Targets, data: Data) -> None:
    """Compare what a network returns with what is to be predicted, head by head."""
    if not isinstance(targets, dict):
        _check_output("the network", output, targets, data.task, data.classes)
        return
    heads = ", ".join(map(repr, data.heads))
    if not isinstance(output, Mapping):
        raise UsageError(
            f"the network returns a {type(output).__name__}, and the targets have the heads "
            f"{heads}: return a dict with an output for each"
        )
    problems = Problems()
    missing = [name for name in data.heads if name not in output]
    if missing:
        problems.add(
            f"the network returns outputs for {', '.join(map(repr, output)) or 'no head'}, and the "
            f"targets have the heads {heads}: {', '.join(map(repr, missing))} is missing"
        )
    for name, head in data.heads.items():
        if name in output:
            with problems.collect():
                told = f"head {name!r} of the network"
                _check_output(told, output[name], targets[name], head.task, head.classes)
    problems.raise_if_any()


def _check_output(told: str, output: Any, target: Tensor, task: str, classes: int | None) -> None:
    if not isinstance(output, Tensor):
        raise UsageError(
            f"{told} returns a {type(output).__name__}, and a tensor is needed: wrap it "
            "in a module that returns the tensor"
        )
    if task == "regression":
        _check_values(told, tuple(output.shape), tuple(target.shape))
    else:
        _check_classes(told, tuple(output.shape), tuple(target.shape), classes or 0)


def _check_values(told: str, output: tuple[int, ...], target: tuple[int, ...]) -> None:
    """Compare the shapes of a regression; one value per sample may have a dimension or none."""
    if output not in (target, (*target, 1)):
        needed = target[-1] if len(target) > 1 else 1
        raise UsageError(
            f"{told} gives shape {output} for targets of shape {target}: for this regression "
            f"its last layer needs {needed} output{'' if needed == 1 else 's'} (floats are values; "
            "labels of classes are integers, booleans or strings)"
        )


def _check_classes(
    told: str, output: tuple[int, ...], target: tuple[int, ...], classes: int
) -> None:
    """Compare an output's shape with labels; two classes may be told apart by one logit."""
    if classes == 2 and output in (target, (*target, 1)):
        return
    if len(output) != len(target) + 1 or output[0] != target[0]:
        raise UsageError(
            f"{told} gives shape {output} for {target[0]} samples, and {classes} classes "
            f"need ({target[0]}, {classes}): one output per class"
        )
    if output[-1] < classes:
        raise UsageError(
            f"{told} gives {output[-1]} output{'' if output[-1] == 1 else 's'}, and the data "
            f"has {classes} classes: its last layer needs {classes}"
        )


def _check_loss(loss: Any) -> None:
    told = ""
    if not isinstance(loss, Tensor):
        told = f"is a {type(loss).__name__}"
    elif loss.ndim:
        told = f"has shape {tuple(loss.shape)}"
    elif not loss.requires_grad:
        told = "has no gradient"
    if told:
        raise UsageError(
            f"the loss {told}: a loss is a tensor of one number, the mean over the batch, that "
            "depends on the network's output"
        )


def _failure(what: str, batch: Split, error: Exception) -> str:
    return f"one {what} on {len(batch)} samples raised {explain(error)}"


def _forward_failure(network: nn.Module, x: Samples, error: Exception) -> str:
    kinds = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors(x)]
    whole = not any(tensor.is_floating_point() for tensor in tensors(x))
    if whole and _runs(network, each(x, Tensor.float)):
        return (
            f"x holds {', '.join(kinds)}, and the network needs floating-point numbers: convert "
            "it, such as x.astype('float32') / 255 for images"
        )
    shapes = ", ".join(
        f"{tuple(tensor.shape)} ({kind})" for tensor, kind in zip(tensors(x), kinds, strict=True)
    )
    called = ""
    if isinstance(x, tuple):
        called = f" (it is called with {len(x)} arguments, by position)"
    if isinstance(x, dict):
        called = f" (it is called with arguments named {', '.join(x)})"
    return f"the network fails on a batch of shape {shapes}{called}: {explain(error)}"


def _runs(network: nn.Module, x: Samples) -> bool:
    try:
        forward(network, x)
    except Exception:
        return False
    return True


def _is_double(network: nn.Module) -> bool:
    return any(p.dtype == torch.float64 for p in network.parameters())


def _trained(network: nn.Module) -> set[nn.Parameter]:
    return {p for p in network.parameters() if p.requires_grad}


def _label(factory: Any) -> str:
    """What the user calls a factory; a lambda and a partial have no name of their own."""
    name = getattr(factory, "__name__", "")
    return name if name.isidentifier() else "the factory"
