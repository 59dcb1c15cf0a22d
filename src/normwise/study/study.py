"""A finished study: its tables, its answer, its report."""

import html
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from normwise import stats
from normwise.errors import UsageError
from normwise.files import write_text
from normwise.report.wording import as_given, metric_name
from normwise.study.answer import answer
from normwise.study.plain import finite
from normwise.study.results import Results

if TYPE_CHECKING:
    from normwise.report import StudyTables


@dataclass(frozen=True)
class Study:
    """All runs of one comparison.

    Made by `normwise.compare`. Everything that it shows is computed from the finished runs.

    Attributes:
        results: the finished runs, and how they are read.
        facts: how they were made (data, network, optimizer, versions, ...), by name.
        plan: how the runs were trained: a row per set of variants, with `runs`, `how` and `reason`.
        folder: where the study is on disk, or None.

    Example:
        >>> import normwise as nw
        >>> study = nw.compare(data="digits", variants=["plain", "batch"], seeds=2, epochs=2)
        >>> study.frame()[["variant", "seed", "status"]]
          variant  seed status
        0   plain     0   done
        1   plain     1   done
        2   batch     0   done
        3   batch     1   done
    """

    results: Results
    facts: Mapping[str, str]
    plan: pd.DataFrame
    folder: Path | None = None

    def frame(self) -> pd.DataFrame:
        """Return one row per run.

        Columns: `variant`, `seed`, `status` (`done` or `diverged`), `steps`, `steps_to_target`
        (missing where the run never arrived), `train_loss` (mean over the batches between the last
        two evaluations), `val_loss`, `val_acc`, `best_val_acc`, `test_loss`, `test_acc`,
        `seconds`; `*_r2` in place of `*_acc` for a regression.
        """
        return self.results.frame()

    def curves(self) -> pd.DataFrame:
        """Return one row per run and evaluation: step, epoch, training and validation figures."""
        return self.results.curves()

    def measured(self) -> pd.DataFrame:
        """Return one row per run and evaluation: variant, seed, step, epoch, `measure`'s numbers.

        Example:
            >>> import normwise as nw
            >>> study = nw.compare(
            ...     seeds=1, epochs=1, variants=["plain"],
            ...     measure=lambda net: {"size of b": net[1].bias.norm()},
            ... )
            >>> list(study.measured())
            ['variant', 'seed', 'step', 'epoch', 'size of b']
        """
        return self.results.measured()

    def summary(self) -> pd.DataFrame:
        """Return one row per variant: estimate, interval, difference to the baseline, verdict."""
        return self._summary.copy()

    @cached_property
    def _summary(self) -> pd.DataFrame:
        return self.results.summary()

    @property
    def verdict(self) -> str:
        """The answer, in a sentence or two."""
        return answer(self._summary, self.metric, len(self.results.shared_seeds))

    @property
    def metric(self) -> str:
        """What variants are compared by: `accuracy`, `R²`, the mean over heads, or your own."""
        return metric_name(self.results.metric)

    @property
    def target(self) -> float | None:
        """The value of the metric to reach; where none was given, the baseline's median best."""
        return self.results.target_or_default

    @property
    def notes(self) -> list[str]:
        """What a reader should know before believing the verdict."""
        results, notes = self.results, []
        missing = len(results.variants) * len(results.seeds) - len(results.records)
        if missing:
            notes.append(
                f"{missing} of the study's {len(results.variants) * len(results.seeds)} runs "
                f"{'has' if missing == 1 else 'have'} not finished, so this is not the last word."
            )
        warning = stats.power_warning(len(results.seeds), max(1, len(results.variants) - 1))
        if warning and len(results.variants) > 1:
            notes.append(warning)
        diverged = sum(record.outcome.status == "diverged" for record in results.records)
        if diverged:
            notes.append(
                f"{diverged} run{'' if diverged == 1 else 's'} diverged (the loss became NaN or "
                "infinite): each counts as the worst outcome and as never having reached the "
                "target."
            )
        notes += self._no_better_than_constant()
        target = self.target
        if results.target is None and target is not None:
            notes.append(
                f"No target was given: {as_given(target)} is the median over seeds of the best "
                f"validation {self.metric} of {results.baseline}."
            )
        notes.append(
            "Intervals cover the seeds (initial weights, data order, dropout masks), on this data "
            "and this split; they do not cover other data."
        )
        return notes

    def _no_better_than_constant(self) -> list[str]:
        """Name the variants that learnt nothing: 0.95 is little where 95 % are of one class."""
        level = self.results.constant
        if level is None:
            return []
        summary = self._summary
        low = (summary["estimate"] < level) | np.isclose(summary["estimate"], level)
        names = ", ".join(summary["variant"][low])
        told = f"no better on the test split than a constant prediction ({self.metric} {level:.4g})"
        if self.results.metric == "r2":
            told += "; targets far from 0 need to be standardised, or a smaller learning rate"
        return [f"{names}: {told}."] if names else []

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the report: one self-contained page.

        Args:
            path: of the page.

        Returns:
            The path.

        Raises:
            UsageError: the page cannot be written.
        """
        from normwise.report import study_page

        return write_text(path, study_page(self._tables()))

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write `report.html`, `runs.csv`, `curves.csv`, `summary.csv`, `study.json` and figures.

        Args:
            folder: made if it does not exist. In the study's own, `study.json` is there already.

        Returns:
            The path of the report.

        Raises:
            UsageError: something cannot be written.
        """
        from normwise.report import save_figures

        folder = Path(folder)
        write_text(folder / "runs.csv", self.frame().to_csv(index=False))
        write_text(folder / "curves.csv", self.curves().to_csv(index=False))
        write_text(folder / "summary.csv", self.summary().to_csv(index=False))
        if folder != self.folder:
            write_text(folder / "study.json", json.dumps({"asked": dict(self.facts)}, indent=2))
        save_figures(self._tables(), folder / "figures")
        return self.to_html(folder / "report.html")

    def to_json(self) -> str:
        """Return the answer for programs: verdict, notes, one object per variant, facts.

        A number that there is not, or that is infinite, is null.
        """
        told = {
            "verdict": self.verdict,
            "notes": self.notes,
            "target": self.target,
            "folder": None if self.folder is None else str(self.folder),
            "variants": [
                {name: finite(value) for name, value in row.items()}
                for row in self._summary.to_dict("records")
            ],
            "facts": dict(self.facts),
        }
        return json.dumps(told, indent=2, allow_nan=False)

    def _tables(self) -> "StudyTables":
        from normwise.report import StudyTables

        results = self.results
        if not results.records:
            raise UsageError("no run of this study has finished, so there is nothing to report")
        count = len(results.variants)
        return StudyTables(
            title=f"{self.facts['data']}: {count} variant{'s' * (count > 1)} × "
            f"{len(results.seeds)} seed{'s' * (len(results.seeds) > 1)}",
            verdict=self.verdict,
            notes=self.notes,
            facts=self.facts,
            metric=self.metric,
            metric_column=results.metric,
            target=self.target,
            budget=results.budget,
            baseline=results.baseline,
            summary=self._summary,
            curves=self.curves(),
            reached=results.reached(),
            layers=results.layers(),
            histograms=results.histograms(),
        )

    def __repr__(self) -> str:
        return f"<Study of {', '.join(self.results.variants)}: {self.verdict}>"

    def _repr_html_(self) -> str:
        """Show the verdict and the summary in a notebook."""
        columns = ["variant", "runs", "estimate", "low", "high", "difference", "p", "verdict"]
        table = self._summary[columns].to_html(index=False, float_format="{:.4g}".format, na_rep="")
        return f"<p><strong>{html.escape(self.verdict)}</strong></p>{table}"


def machine() -> dict[str, str]:
    """Return what the numbers were made with and on."""
    return {
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"NumPy {np.__version__}",
    }
