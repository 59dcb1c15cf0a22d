"""What was measured, as a table and as a figure."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from normwise.errors import UsageError, suggest
from normwise.evidence import Evidence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 40
_PLOTTED = ("gradient norm", "output gradient norm", "update ratio")


def frame(evidence: Evidence) -> pd.DataFrame:
    """Return a row per measured number: step, what it is, where, and its value.

    Example:
        >>> from normwise.evidence import Level
        >>> list(frame(Evidence(Level.STRUCTURE)).columns)
        ['step', 'what', 'where', 'value']
    """
    series = [("loss", "", evidence.objective)]
    for path, module in evidence.modules.items():
        if module.gradient is not None:
            series.append(("output gradient norm", path, module.gradient))
    for name, parameter in evidence.parameters.items():
        series += [
            ("gradient norm", name, parameter.gradient),
            ("weight norm", name, parameter.weight),
            ("update norm", name, parameter.update),
            ("update ratio", name, parameter.ratio),
        ]
    tables = [
        pd.DataFrame({"step": s.steps, "what": what, "where": where, "value": s.values})
        for what, where, s in series
        if s.count
    ]
    empty = pd.DataFrame({"step": [], "what": [], "where": [], "value": []})
    return pd.concat(tables, ignore_index=True) if tables else empty


def plot(evidence: Evidence, path: str) -> "Figure":
    """Return a figure of a module: gradients and updates over time, and the last outputs.

    Raises:
        UsageError: there is no such module.

    Example:
        >>> from torch import nn, randn
        >>> from normwise.evidence import probe
        >>> figure = plot(probe(nn.Sequential(nn.Linear(4, 3)), [randn(8, 4)]), "0")
        >>> len(figure.axes)
        4
    """
    from matplotlib.figure import Figure

    module = evidence.modules.get(path)
    if module is None:
        near = suggest(path, evidence.modules)
        raise UsageError(f"there is no module {path!r} in the watched network{near}")
    rows = frame(evidence)
    own = [name for name, p in evidence.parameters.items() if p.module == path]
    figure = Figure(figsize=(12, 2.8), layout="constrained")
    *curves, values = figure.subplots(1, 4)
    for axes, what in zip(curves, _PLOTTED, strict=True):
        for where in [path, *own]:
            line = rows[(rows.what == what) & (rows["where"] == where)]
            if len(line):
                axes.plot(line.step, line.value, label=where.removeprefix(f"{path}."))
                axes.legend(frameon=False)
        axes.set(title=what, xlabel="step", yscale="log")
    if module.output is not None and module.output.sample is not None:
        sample = module.output.sample
        values.hist(sample[np.isfinite(sample)], bins=_BINS)
    values.set(title="values", xlabel="output")
    figure.suptitle(f"{path} ({module.type})")
    return figure
