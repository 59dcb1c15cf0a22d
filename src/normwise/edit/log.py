"""Remember what was done to a network, so that its user can ask."""

from collections.abc import Iterable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import nn


@dataclass(frozen=True)
class Edit:
    """One change made to a network.

    Attributes:
        edit: the call that made it, such as `insert_norm batch`.
        path: the module that was changed, by its name in the network.
        done: what was done there.
        note: what was lost on the way or is left to do; empty where nothing was.

    Example:
        >>> print(Edit("insert_norm batch", "fc1", "BatchNorm1d(8) on its output", "bias dropped"))
        insert_norm batch  fc1  BatchNorm1d(8) on its output (bias dropped)
    """

    edit: str
    path: str
    done: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.edit}  {self.path or '(the network)'}  {self._told}"

    @property
    def _told(self) -> str:
        return f"{self.done} ({self.note})" if self.note else self.done


class Edits(tuple[Edit, ...]):
    """The changes made to a network, in order; `print` shows them as a table.

    Example:
        >>> import torch
        >>> import normwise as nw
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> net = nw.insert_dropout(net, 0.2, torch.randn(2, 4))
        >>> print(nw.edits(net))
        edit                  where  what
        insert_dropout p=0.2  1      Dropout(p=0.2) on the relu after 0
    """

    __slots__ = ()

    def __str__(self) -> str:
        if not self:
            return "no edits"
        head = ("edit", "where", "what")
        lines = [head, *((e.edit, e.path or "(the network)", e._told) for e in self)]
        widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
        return "\n".join(
            f"{edit:{widths[0]}}  {path:{widths[1]}}  {told}" for edit, path, told in lines
        )


# Beside the networks, not on them: an attribute would be seen by whatever compares modules.
_EDITS: WeakKeyDictionary[nn.Module, list[Edit]] = WeakKeyDictionary()


def edits(network: nn.Module) -> Edits:
    """Tell what was done to a network, and where.

    The record belongs to the network in memory: it holds edits of its parts too, while a copy or a
    network read from a file starts without one.

    Args:
        network: one that was edited, or a part of which was.

    Returns:
        One `Edit` per place and edit, those of the network itself first, each module's in order.

    Example:
        >>> import torch
        >>> import normwise as nw
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> net = nw.insert_norm(net, "batch", torch.randn(2, 4))
        >>> [(edit.path, edit.done, edit.note) for edit in nw.edits(net)]
        [('0', 'BatchNorm1d(8) on its output', 'the bias of 0, which the norm undoes, is dropped')]
    """
    return Edits(
        Edit(edit.edit, ".".join(filter(None, (path, edit.path))), edit.done, edit.note)
        for path, module in network.named_modules()
        for edit in _EDITS.get(module, ())
    )


def remember(network: nn.Module, made: Iterable[Edit]) -> None:
    """Add to a network's record."""
    _EDITS.setdefault(network, []).extend(made)
