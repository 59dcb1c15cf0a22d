"""From finished runs to tables: one row per run, per evaluation, per variant."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from normwise import stats
from normwise.evidence import Distribution
from normwise.study.record import Record


@dataclass(frozen=True)
class Results:
    """The finished runs of a study, and how to read them.

    Attributes:
        records: in the order of variants and seeds.
        variants: names; the first is the baseline.
        seeds: those that every variant was asked for.
        metric: `acc`, `r2`, `score` or the name of the user's own.
        target: value of the metric to reach, or None for the baseline's median best.
        margin: difference that does not matter, or None.
        budget: steps of a run.
        steps_per_epoch: to tell epochs by.
        constant: what a constant prediction reaches on the test split, where that is known.
    """

    records: Sequence[Record]
    variants: Sequence[str]
    seeds: Sequence[int]
    metric: str
    target: float | None
    margin: float | None
    budget: int
    steps_per_epoch: int
    constant: float | None = None

    @property
    def baseline(self) -> str:
        """The variant that the others are compared with."""
        return self.variants[0]

    @property
    def target_or_default(self) -> float | None:
        """The target, or the baseline's median best where none was given; None without any run."""
        if self.target is not None:
            return self.target
        best = [_best(record) for record in self.records if record.variant == self.baseline]
        best = [value for value in best if math.isfinite(value)]
        return float(np.median(best)) if best else None

    @property
    def shared_seeds(self) -> list[int]:
        """The seeds that every variant has finished: those that comparisons are made over."""
        finished = {(record.variant, record.seed) for record in self.records}
        return [s for s in self.seeds if all((name, s) in finished for name in self.variants)]

    def frame(self) -> pd.DataFrame:
        """One row per run."""
        rows = [self._row(record) for record in self.records]
        columns = ["variant", "seed", "status", "steps", "steps_to_target"]
        columns += ["train_loss", "val_loss", f"val_{self.metric}", f"best_val_{self.metric}"]
        columns += ["test_loss", f"test_{self.metric}", "seconds"]
        return pd.DataFrame(rows, columns=pd.Index(columns)).astype({"steps_to_target": "Int64"})

    def curves(self) -> pd.DataFrame:
        """One row per run and evaluation; several heads have a column each behind the others."""
        columns = ["variant", "seed", "step", "epoch", "train_loss", "val_loss"]
        rows = [
            {
                "variant": record.variant,
                "seed": record.seed,
                "step": row.step,
                "epoch": row.step / self.steps_per_epoch,
                "train_loss": row.train_loss,
                "val_loss": row.val_loss,
                f"val_{self.metric}": row.val_metric,
                **{f"val_{head}": metric for head, metric in row.heads.items()},
            }
            for record in self.records
            for row in record.outcome.evaluations
        ]
        if not rows:
            return pd.DataFrame(columns=pd.Index([*columns, f"val_{self.metric}"]))
        return pd.DataFrame(rows)

    def measured(self) -> pd.DataFrame:
        """One row per run and evaluation with what `measure` returned."""
        rows = [
            {"variant": record.variant, "seed": record.seed, "step": step, **found}
            for record in self.records
            for step, found in record.measured.items()
        ]
        table = pd.DataFrame(rows, columns=None if rows else pd.Index(["variant", "seed", "step"]))
        table.insert(3, "epoch", table["step"] / self.steps_per_epoch)
        return table

    def summary(self) -> pd.DataFrame:
        """One row per variant: estimate, difference to the baseline, verdict, steps to target.

        A diverged run counts as the worst outcome: accuracy 0 (R²: the worst of all runs, at most
        0), no target reached, an infinite training loss. Differences are over the seeds that both
        variants have finished.
        """
        comparisons = self._compare(self._scores(), higher_is_better=True, margin=self.margin)
        timed = self.target_or_default is not None
        steps = self._compare(self._capped_steps(), higher_is_better=False) if timed else {}
        return pd.DataFrame(
            [
                {
                    **self._estimate(variant),
                    **_difference(comparisons.get(variant)),
                    "verdict": self._verdict(comparisons, variant),
                    **self._training_loss(variant),
                    **self._arrival(variant),
                    **_steps(steps.get(variant)),
                    "steps_verdict": self._verdict(steps, variant),
                    "seconds": self._median(variant, "seconds"),
                }
                for variant in self.variants
            ]
        )

    def reached(self) -> pd.DataFrame:
        """The share of runs that have reached the target by a step, one row per change."""
        rows = []
        for variant in self.variants:
            found = self._survival(variant)
            if found is not None:
                columns = (found.times, found.reached, found.low, found.high)
                rows += [(variant, *row) for row in zip(*columns, strict=True)]
        return pd.DataFrame(rows, columns=pd.Index(["variant", "step", "share", "low", "high"]))

    def layers(self) -> pd.DataFrame:
        """One row per variant, hidden layer and moment that was looked into."""
        columns = ["variant", "layer", "activation", "step", "mean", "std", "low", "high"]
        columns += ["dead", "saturated"]
        rows = [
            {"variant": variant, "step": step, **vars(layer)}
            for variant, step, layer in self._snapshots()
        ]
        return pd.DataFrame(rows, columns=pd.Index(columns))

    def histograms(self) -> pd.DataFrame:
        """One row per bin of the distributions in `layers`."""
        rows = [
            (variant, layer.layer, step, *bin_)
            for variant, step, layer in self._snapshots()
            for bin_ in zip(layer.edges[:-1], layer.edges[1:], layer.density, strict=True)
        ]
        columns = ["variant", "layer", "step", "left", "right", "density"]
        return pd.DataFrame(rows, columns=pd.Index(columns))

    def _snapshots(self) -> Iterator[tuple[str, int, Distribution]]:
        """Yield variant, step and distribution, all of one seed.

        A resumed study may have looked into another seed than it did at first.
        """
        seeds = [record.seed for record in self.records if record.snapshots]
        for record in self.records:
            if record.seed in seeds[:1]:
                for step, layers in record.snapshots.items():
                    for layer in layers:
                        yield record.variant, step, layer

    # --- one run -----------------------------------------------------------------------------

    def _row(self, record: Record) -> tuple[object, ...]:
        outcome = record.outcome
        last = outcome.evaluations[-1]
        return (
            *(record.variant, record.seed, outcome.status, outcome.steps),
            self._arrived(record),
            *(last.train_loss, last.val_loss, last.val_metric, _best(record)),
            *(outcome.test_loss, outcome.test_metric, outcome.seconds),
        )

    def _arrived(self, record: Record) -> int | None:
        target = self.target_or_default
        if target is None:
            return None
        seen = [row for row in record.outcome.evaluations if math.isfinite(row.val_metric)]
        steps, values = [row.step for row in seen], [row.val_metric for row in seen]
        return stats.steps_to_target(steps, values, target) if seen else None

    # --- one variant -------------------------------------------------------------------------

    def _runs(self, variant: str) -> list[Record]:
        return [record for record in self.records if record.variant == variant]

    def _scores(self) -> dict[str, dict[int, float]]:
        """The test metric by variant and seed, the worst outcome standing for divergence."""
        values = [record.outcome.test_metric for record in self.records]
        worst = min([0.0, *(value for value in values if math.isfinite(value))])
        return {
            variant: {
                record.seed: value if math.isfinite(value := record.outcome.test_metric) else worst
                for record in self._runs(variant)
            }
            for variant in self.variants
        }

    def _capped_steps(self) -> dict[str, dict[int, float]]:
        return {
            variant: {
                record.seed: self.budget if (steps := self._arrived(record)) is None else steps
                for record in self._runs(variant)
            }
            for variant in self.variants
        }

    def _compare(
        self,
        values: dict[str, dict[int, float]],
        higher_is_better: bool,
        margin: float | None = None,
    ) -> dict[str, stats.Paired]:
        """Test every variant against the baseline, over the seeds that all of them have."""
        samples = {
            variant: [by_seed[seed] for seed in self.shared_seeds]
            for variant, by_seed in values.items()
        }
        baseline = samples.pop(self.baseline)
        return stats.family(samples, baseline, higher_is_better, margin) if baseline else {}

    def _verdict(self, found: dict[str, stats.Paired], variant: str) -> str:
        if variant == self.baseline:
            return "baseline"
        return found[variant].verdict if variant in found else "undecided"

    def _estimate(self, variant: str) -> dict[str, object]:
        runs = self._runs(variant)
        interval = stats.bca(list(self._scores()[variant].values())) if runs else None
        return {
            "variant": variant,
            "runs": len(runs),
            "diverged": sum(record.outcome.status == "diverged" for record in runs),
            "estimate": interval.estimate if interval else math.nan,
            "low": interval.low if interval else math.nan,
            "high": interval.high if interval else math.nan,
        }

    def _training_loss(self, variant: str) -> dict[str, float]:
        ours, theirs = self._final_losses(variant), self._final_losses(self.baseline)
        pairs = sorted(set(ours) & set(theirs)) if variant != self.baseline else []
        return {
            "train_loss": float(np.mean(list(ours.values()))) if ours else math.nan,
            "train_loss_wins": sum(ours[seed] < theirs[seed] for seed in pairs),
            "pairs": len(pairs),
        }

    def _final_losses(self, variant: str) -> dict[int, float]:
        return {
            record.seed: loss if math.isfinite(loss) else math.inf
            for record in self._runs(variant)
            for loss in [record.outcome.evaluations[-1].train_loss]
        }

    def _survival(self, variant: str) -> stats.Survival | None:
        runs = self._runs(variant)
        if not runs or self.target_or_default is None:
            return None
        return stats.kaplan_meier([self._arrived(record) for record in runs], self.budget)

    def _arrival(self, variant: str) -> dict[str, float]:
        found = self._survival(variant)
        return {
            "success": found.success.estimate if found else math.nan,
            "steps_to_target": found.median if found else math.nan,
        }

    def _median(self, variant: str, name: str) -> float:
        values = [getattr(record.outcome, name) for record in self._runs(variant)]
        return float(np.median(values)) if values else math.nan


def _best(record: Record) -> float:
    values = [row.val_metric for row in record.outcome.evaluations]
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def _difference(found: stats.Paired | None) -> dict[str, float]:
    return {
        "difference": found.difference if found else math.nan,
        "difference_low": found.low if found else math.nan,
        "difference_high": found.high if found else math.nan,
        "p": found.p if found else math.nan,
    }


def _steps(found: stats.Paired | None) -> dict[str, float]:
    return {
        "steps_difference": found.difference if found else math.nan,
        "steps_low": found.low if found else math.nan,
        "steps_high": found.high if found else math.nan,
        "steps_p": found.p if found else math.nan,
    }
