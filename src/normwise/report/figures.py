"""All figures of a study, by name, and their files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from normwise.files import write_bytes, write_text
from normwise.report.columns import numbers
from normwise.report.tables import StudyTables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PNG_DPI = 180  # figures are laid out at 72: this is two and a half pixels for one


def study_figures(tables: StudyTables) -> dict[str, Figure]:
    """Draw every figure for which the tables hold something.

    Args:
        tables: the study.

    Returns:
        Figures by name: ``metric`` and ``train-loss`` over the steps; ``difference`` where one
        was measured; ``reached`` where there is a target; and a
        ``layer-<number>-<path>`` per hidden layer that has histograms.

    Example:
        >>> import pandas as pd
        >>> from normwise.report.tables import CURVES, SUMMARY
        >>> row = dict.fromkeys(SUMMARY, float("nan")) | {"verdict": "baseline"}
        >>> curve = dict.fromkeys([*CURVES, "val_acc"], 0.5)
        >>> empty = pd.DataFrame()
        >>> tables = StudyTables(
        ...     title="digits", verdict="One variant.", notes=[], facts={}, metric="accuracy",
        ...     metric_column="acc", target=None, budget=1, baseline="plain",
        ...     summary=pd.DataFrame([row | {"variant": "plain"}]),
        ...     curves=pd.DataFrame([curve | {"variant": "plain"}]),
        ...     reached=empty, layers=empty, histograms=empty,
        ... )
        >>> list(study_figures(tables))
        ['metric', 'train-loss']
    """
    from normwise.report.drawing import look

    with look():
        return {plan.name: plan.draw() for plan in plans(tables)}


def save_figures(tables: StudyTables, folder: str | os.PathLike[str]) -> list[Path]:
    """Write every figure of `study_figures` as SVG and PNG, in the light theme.

    The same tables give the same bytes. Each file is written whole or not at all.

    Args:
        tables: the study.
        folder: where ``<name>.svg`` and ``<name>.png`` go; made where it does not exist.

    Returns:
        The paths written.

    Raises:
        UsageError: the folder cannot be written to.

    Example:
        >>> import pandas as pd
        >>> import tempfile
        >>> from normwise.report.tables import CURVES, SUMMARY
        >>> row = dict.fromkeys(SUMMARY, float("nan")) | {"verdict": "baseline"}
        >>> curve = dict.fromkeys([*CURVES, "val_acc"], 0.5)
        >>> empty = pd.DataFrame()
        >>> tables = StudyTables(
        ...     title="digits", verdict="One variant.", notes=[], facts={}, metric="accuracy",
        ...     metric_column="acc", target=None, budget=1, baseline="plain",
        ...     summary=pd.DataFrame([row | {"variant": "plain"}]),
        ...     curves=pd.DataFrame([curve | {"variant": "plain"}]),
        ...     reached=empty, layers=empty, histograms=empty,
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     [path.name for path in save_figures(tables, folder)]
        ['metric.svg', 'metric.png', 'train-loss.svg', 'train-loss.png']
    """
    return save_plans(plans(tables), folder)


def save_plans(plans: Iterable[Plan], folder: str | os.PathLike[str]) -> list[Path]:
    """Write figures as SVG and PNG, in the light theme; see `save_figures`.

    Args:
        plans: of the figures.
        folder: where ``<name>.svg`` and ``<name>.png`` go; made where it does not exist.

    Raises:
        UsageError: the folder cannot be written to.

    Example:
        >>> save_plans([], "figures")
        []
    """
    from normwise.report import svg
    from normwise.report.drawing import look

    paths = []
    for plan in plans:
        with look():
            figure = plan.draw()
            image = BytesIO()
            figure.savefig(image, format="png", dpi=PNG_DPI, metadata={"Software": None})
            text = svg.standalone(figure)
        paths.append(write_text(Path(folder) / f"{plan.name}.svg", text))
        paths.append(write_bytes(Path(folder) / f"{plan.name}.png", image.getvalue()))
    return paths


@dataclass(frozen=True)
class Plan:
    """A figure that the tables have something for.

    Attributes:
        name: of its file.
        draw: draws it; to be called within `drawing.look`.
        caption: what one sees in it.
    """

    name: str
    draw: Callable[[], Figure]
    caption: str


def plans(tables: StudyTables) -> list[Plan]:
    """Say which figures there are: the one place that decides it."""
    # Matplotlib takes a second to import; who only names this room should not pay for it.
    from normwise.report import captions
    from normwise.report.arrivals import draw_arrivals
    from normwise.report.differences import draw_differences
    from normwise.report.distributions import draw_layer
    from normwise.report.learning import draw_loss, draw_metric

    found = [
        Plan("metric", partial(draw_metric, tables), captions.metric(tables)),
        Plan("train-loss", partial(draw_loss, tables), captions.train_loss(tables)),
    ]
    if not np.isnan(numbers(tables.summary, "difference")).all():
        draw = partial(draw_differences, tables)
        found.append(Plan("difference", draw, captions.difference(tables)))
    if tables.target is not None and len(tables.reached):
        found.append(Plan("reached", partial(draw_arrivals, tables), captions.reached(tables)))
    for number, layer in enumerate(tables.hidden_layers, start=1):
        name = f"layer-{number}-{re.sub(r'[^A-Za-z0-9._-]', '-', layer)}"
        draw = partial(draw_layer, tables, layer)
        found.append(Plan(name, draw, captions.layer(tables, layer)))
    return found
