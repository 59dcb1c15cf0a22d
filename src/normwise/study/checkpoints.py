"""Checkpoints of a training on disk: the last two, each whole or not there."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch

from normwise.errors import UsageError
from normwise.files import write_bytes, write_text
from normwise.stack import State
from normwise.study.plain import from_json, to_json

_FORMAT = 1
_WHOSE = "training.json"
_KEPT = 2  # the one before the last is there in case the last is damaged


class Checkpoints:
    """The checkpoints of one training: tensors in safetensors, the rest in JSON.

    A checkpoint is there from the moment that its JSON is, which names the tensors and their
    digest. Nothing in either is ever executed.

    Args:
        folder: made if it does not exist.
        identity: what the training's numbers depend on.

    Example:
        >>> import torch
        >>> checkpoints = Checkpoints(Path("checkpoints"), {"epochs": 3})
        >>> checkpoints.begin()
        >>> checkpoints.save(State(10, {"w": torch.ones(2)}, {"losses_from": 8}))
        >>> state, lost = checkpoints.load()
        >>> state.step, state.tensors["w"].tolist(), lost
        (10, [1.0, 1.0], [])
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder, self._identity = folder, from_json(to_json(dict(identity)))

    def begin(self) -> None:
        """Write down whose checkpoints these are, before anything trains.

        Raises:
            UsageError: nothing can be written there.
        """
        write_text(self._folder / _WHOSE, to_json(self._identity))

    @property
    def begun(self) -> bool:
        """Whether this training has begun here, with a checkpoint or without."""
        try:
            return from_json((self._folder / _WHOSE).read_text()) == self._identity
        except (OSError, ValueError):
            return False

    def save(self, state: State) -> None:
        """Write a checkpoint, and remove those before the last two.

        Raises:
            UsageError: it cannot be written; the one before is still there.
        """
        content = safetensors.torch.save(
            {name: tensor.contiguous() for name, tensor in state.tensors.items()}
        )
        name = f"step-{state.step:09d}"
        write_bytes(self._folder / f"{name}.safetensors", content)
        told = {
            "format": _FORMAT,
            "step": state.step,
            "identity": self._identity,
            "digest": _digest(content),
            "plain": state.plain,
        }
        write_text(self._folder / f"{name}.json", to_json(told))
        for path in self._paths()[:-_KEPT]:
            path.unlink(missing_ok=True)
            path.with_suffix(".safetensors").unlink(missing_ok=True)

    def load(self) -> tuple[State | None, list[str]]:
        """Return the last state that can be read, and what was wrong with later ones.

        Raises:
            UsageError: there are checkpoints, and none can be used; says why of each.
        """
        lost: list[str] = []
        for path in reversed(self._paths()):
            try:
                return self._read(path), lost
            except UsageError as error:
                lost += error.problems
        if lost:
            raise UsageError(*dict.fromkeys(lost))  # another training is told once
        return None, []

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("step-*.json"))

    def _read(self, path: Path) -> State:
        told = _json(path)
        if told.get("format") != _FORMAT:
            raise UsageError(
                f"{path} has format {told.get('format')!r}, and this normwise reads {_FORMAT}: go "
                "on with the version that wrote it, or begin anew in another folder"
            )
        theirs = told.get("identity", {})
        names = dict.fromkeys([*self._identity, *theirs])
        unlike = [name for name in names if theirs.get(name) != self._identity.get(name)]
        if unlike:
            differences = "; ".join(
                f"{n}: {theirs.get(n)!r} there, {self._identity.get(n)!r} here" for n in unlike
            )
            raise UsageError(
                f"{self._folder} is of another training ({differences}): name another folder"
            )
        tensors = path.with_suffix(".safetensors")
        try:
            content = tensors.read_bytes()
        except OSError as error:
            raise UsageError(f"{tensors} cannot be read: {error.strerror or error}") from error
        if _digest(content) != told.get("digest"):
            raise UsageError(f"{tensors} is not what was written: it is damaged")
        return State(told["step"], safetensors.torch.load(content), told["plain"])


def _json(path: Path) -> dict[str, Any]:
    try:
        told = from_json(path.read_text())
        if isinstance(told, dict):
            return told
    except (OSError, ValueError):
        pass
    raise UsageError(f"{path} is no checkpoint: it is damaged, or something else wrote it")


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
