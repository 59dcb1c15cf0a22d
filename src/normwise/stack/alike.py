"""What runs must have in common to train as one program, and where they may differ."""

import re
from collections.abc import Sequence

from torch import nn

from normwise.stack.recipes import Recipe
from normwise.stack.recording import NotStackable, attributes
from normwise.trace.functions import DROPOUT_TYPES


def compare_recipes(recipes: Sequence[Recipe]) -> None:
    """Refuse recipes that no program of many runs follows."""
    if any(recipe.precision is not None for recipe in recipes):
        raise NotStackable(
            "a stack is checked to the digits of float32, and precision=bf16 has fewer"
        )
    if len({recipe.kind for recipe in recipes}) > 1:
        raise ValueError("runs of a stack have one kind of recipe")


def compare_networks(networks: Sequence[nn.Module]) -> None:
    """Refuse networks that differ in more than weights, buffers and the p of dropout."""
    first, *others = (_plan(network) for network in networks)
    for other in others:
        for name in first | other:  # in this order, the telling differences first
            if first.get(name) != other.get(name):
                raise NotStackable(f"the networks differ from run to run (in {name})")


def _plan(network: nn.Module) -> dict[str, str]:
    """What the forward of a network depends on, as far as it can be seen."""
    weights = {
        name: f"{tuple(p.shape)} {p.dtype} {p.requires_grad}"
        for name, p in [*network.named_parameters(), *network.named_buffers()]
    }
    kinds = {
        f"the class of {path or 'the network'}": str(type(m)) for path, m in network.named_modules()
    }
    varied = {f"{path}.p".removeprefix(".") for path in _dropouts(network)}
    plain = {
        name: re.sub(r" at 0x[0-9a-f]+", "", value)  # where an object lies
        for name, value in attributes(network).items()
        if name not in varied
    }
    return kinds | weights | plain


def _dropouts(network: nn.Module) -> list[str]:
    """The paths of the dropout modules."""
    return [path for path, module in network.named_modules() if isinstance(module, DROPOUT_TYPES)]


def dropout_p(networks: Sequence[nn.Module]) -> dict[str, list[float]]:
    """The dropouts whose p differs between the runs."""
    p = {
        path: [vars(network.get_submodule(path))["p"] for network in networks]
        for path in _dropouts(networks[0])
    }
    return {path: values for path, values in p.items() if len(set(values)) > 1}
