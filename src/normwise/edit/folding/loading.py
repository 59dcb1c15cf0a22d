"""Weights from a file, into the network that they were saved from."""

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from normwise.errors import UsageError, suggest
from normwise.references import explain

_TORCH = (".pt", ".pth", ".ckpt", ".bin")
_NAMES = ("state_dict", "model_state_dict")  # under which checkpoints hold the weights


def load_weights(network: nn.Module, path: str | os.PathLike[str]) -> None:
    """Load a state dict from a file; nothing in the file is ever executed.

    Args:
        network: takes the weights; left as it was if they do not fit.
        path: a `.safetensors` file, or one that `torch.save` wrote (`.pt`, `.pth`, `.ckpt`,
            `.bin`), which is read with `weights_only=True`. A checkpoint with a `state_dict`
            or `model_state_dict` in it will do.

    Raises:
        UsageError: the file is missing, cannot be read, or does not fit the network; all names
            and shapes that do not fit are told.

    Example:
        >>> from safetensors.torch import save_file
        >>> save_file(nn.Linear(2, 1).state_dict(), "w.safetensors")
        >>> load_weights(nn.Linear(3, 1), "w.safetensors")
        Traceback (most recent call last):
        normwise.errors.UsageError: w.safetensors: weight has shape (1, 2), and the network's (1, 3)
    """
    weights = read_weights(path)
    own = network.state_dict()
    problems = [f"{name} is missing{suggest(name, weights)}" for name in own if name not in weights]
    problems += [f"{name} is no weight of the network" for name in weights if name not in own]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)}, and the network's {tuple(value.shape)}"
        for name, value in own.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if problems:
        raise UsageError(*(f"{path}: {problem}" for problem in problems))
    network.load_state_dict(weights)


def read_weights(path: str | os.PathLike[str]) -> Mapping[str, Tensor]:
    """Return the state dict in a file; nothing in it is ever executed.

    Raises:
        UsageError: the file is missing, or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        near = suggest(path.name, (other.name for other in path.parent.glob("*")))
        raise UsageError(f"no such file: {path}{near}")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.suffix in _TORCH:
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
        else:
            found = None
    except pickle.UnpicklingError as error:
        raise UsageError(
            f"{path} cannot be read as weights: it holds more than tensors, such as a whole "
            "network, which could be read only by executing what is in it, or it is damaged. Save "
            "network.state_dict() instead"
        ) from error
    except Exception as error:
        reason = explain(error).splitlines()[0]
        raise UsageError(f"{path} cannot be read as weights: {reason}") from error
    if found is None:
        endings = ", ".join((".safetensors", *_TORCH))
        raise UsageError(f"{path}: unknown ending {path.suffix!r}: weights are in {endings}")
    weights = found
    if isinstance(found, Mapping):
        weights = next((found[name] for name in _NAMES if name in found), found)
    if not isinstance(weights, Mapping) or not all(isinstance(v, Tensor) for v in weights.values()):
        raise UsageError(f"{path} holds no state dict: save it with network.state_dict()")
    return weights
