"""What folding did, in words and numbers."""

from dataclasses import asdict, dataclass

import pandas as pd


@dataclass(frozen=True)
class Entry:
    """One thing that was done, left, or undone.

    Attributes:
        outcome: `folded`, `left` or `undone`.
        place: where in the network: a module's path, and the function where it calls several.
        what: what was done, or nothing where all was left.
        into: the layers that took it over.
        reason: why it was left or undone.

    Example:
        >>> Entry("left", "bn", reason="add comes before it").outcome
        'left'
    """

    outcome: str
    place: str
    what: str = ""
    into: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Report:
    """What was folded, what was left and why, and the proof that the result is right.

    Attributes:
        entries: one for each thing folded, left or undone, in this order.
        capture: how the graph was found: `torch.export` or `torch.fx`.
        note: why torch.export did not do, where it did not.
        inputs: shapes of the inputs that the folded network takes, such as `(any, 3, any, any)`.
        probes: how many inputs both networks were run on, the example among them.
        error: the folded network's largest relative error on them: the largest difference to the
            reference over the reference's largest value.
        original_error: the same for the original.
        bound: what `error` must not exceed.
        reference: dtype in which the original was run to get the reference.
        bytes_before: size of the original's parameters and buffers.
        bytes_after: and of the folded network's.
        milliseconds_before: median time of the original for the example.
        milliseconds_after: and of the folded network.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from normwise.edit import fold
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        >>> report = fold(net, torch.randn(2, 4)).report
        >>> [(entry.place, entry.what, entry.into) for entry in report.folded]
        [('1', 'norm folded back', '0')]
        >>> report.error <= report.bound
        True
    """

    entries: tuple[Entry, ...]
    capture: str
    note: str
    inputs: tuple[str, ...]
    probes: int
    error: float
    original_error: float
    bound: float
    reference: str
    bytes_before: int
    bytes_after: int
    milliseconds_before: float
    milliseconds_after: float

    @property
    def folded(self) -> tuple[Entry, ...]:
        """What was done."""
        return self._having("folded")

    @property
    def left(self) -> tuple[Entry, ...]:
        """What was left, and why."""
        return self._having("left")

    @property
    def undone(self) -> tuple[Entry, ...]:
        """What was done, found wrong, and undone."""
        return self._having("undone")

    def frame(self) -> pd.DataFrame:
        """Return one row per entry."""
        columns = list(Entry.__dataclass_fields__)
        return pd.DataFrame([asdict(entry) for entry in self.entries], columns=columns)

    def _having(self, outcome: str) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.outcome == outcome)

    def __str__(self) -> str:
        """Return the report as text for a terminal."""
        rows = [(e.outcome, e.place, _told(e)) for e in self.entries]
        widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
        lines = [
            f"{outcome:<{widths[0]}}  {place:<{widths[1]}}  {told}" for outcome, place, told in rows
        ]
        return "\n".join([*(lines or ["nothing to fold"]), *self._summary()])

    def _summary(self) -> list[str]:
        speedup = self.milliseconds_before / self.milliseconds_after
        note = f" ({self.note})" if self.note else ""
        return [
            f"captured by {self.capture}{note}, for inputs {', '.join(self.inputs)}",
            f"error {self.error:.1e} on {self.probes} probes, original {self.original_error:.1e}, "
            f"bound {self.bound:.1e}; reference: the original in {self.reference}",
            f"size {_size(self.bytes_before)} -> {_size(self.bytes_after)}, "
            f"time {self.milliseconds_before:.3g} -> {self.milliseconds_after:.3g} ms "
            f"({speedup:.2f}x)",
        ]


def _told(entry: Entry) -> str:
    done = f"{entry.what} into {entry.into}" if entry.into else entry.what
    return ": ".join(filter(None, (done, entry.reason)))


def _size(count: int) -> str:
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
