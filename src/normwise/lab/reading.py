"""Studies as numbers and tables for a claim."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats as distributions

from normwise import stats
from normwise.lab.result import Number
from normwise.study import Study


def per_seed(study: Study, column: str) -> dict[str, NDArray[np.float64]]:
    """Return a column of `Study.frame` by variant, in the order of seeds.

    Example:
        >>> import normwise as nw
        >>> study = nw.compare(data="digits", variants=["plain"], seeds=2, epochs=1)
        >>> per_seed(study, "seed")
        {'plain': array([0., 1.])}
    """
    return by_variant(study.frame(), column)


def by_variant(table: pd.DataFrame, column: str) -> dict[str, NDArray[np.float64]]:
    """Return a column of a table with a row per variant and seed, in the order of seeds.

    Example:
        >>> by_variant(pd.DataFrame({"variant": "a", "seed": [1, 0], "loss": [0.5, 2.0]}), "loss")
        {'a': array([2. , 0.5])}
    """
    ordered = table.sort_values("seed", kind="stable")
    return {
        str(variant): rows[column].to_numpy(dtype=float, na_value=np.nan)
        for variant, rows in ordered.groupby("variant", sort=False)
    }


def arrivals(study: Study) -> dict[str, NDArray[np.float64]]:
    """Return the steps to the study's target by variant and seed, fit for ratios.

    Runs that never arrive count as arriving with the budget, and those that are there untrained as
    arriving with the first evaluation, since nothing is known between two.

    Example:
        >>> import normwise as nw
        >>> study = nw.compare(data="digits", variants=["plain"], seeds=2, epochs=1, target=0.01)
        >>> steps = sorted(study.curves()["step"].unique())
        >>> set(arrivals(study)["plain"].tolist()) == {float(steps[1])}
        True
    """
    first = study.curves().query("step > 0")["step"].min()
    steps = {
        variant: [None if np.isnan(each) else each for each in values.tolist()]
        for variant, values in per_seed(study, "steps_to_target").items()
    }
    budget = study.results.budget
    return {name: np.maximum(stats.capped(each, budget), first) for name, each in steps.items()}


def bands(curves: pd.DataFrame, column: str, x: str = "step") -> pd.DataFrame:
    """Return the mean over seeds with its 95 % t-interval, as the table of `report.Lines`.

    Args:
        curves: a row per variant, seed and `x`, such as `Study.curves()`.
        column: what is averaged; points where no seed has a value are left out.
        x: the other axis.

    Example:
        >>> curves = pd.DataFrame({"variant": "a", "seed": [0, 1], "step": 5, "loss": [1.0, 3.0]})
        >>> bands(curves, "loss")[["series", "x", "y"]].values.tolist()
        [['a', 5, 2.0]]
    """
    measured = curves.dropna(subset=[column])
    groups = measured.groupby(["variant", x], sort=False)[column]
    table = groups.agg(["mean", "sem", "count"]).reset_index()
    half = table["sem"] * distributions.t.ppf(0.975, table["count"] - 1)
    return pd.DataFrame(
        {
            "series": table["variant"],
            "x": table[x],
            "y": table["mean"],
            "low": table["mean"] - half,
            "high": table["mean"] + half,
        }
    )


def difference(what: str, found: stats.Paired, unit: str = "", of: str = "") -> Number:
    """Return a paired difference as a number of a result.

    Example:
        >>> found = stats.paired([2.0, 3.0, 4.0, 3.0, 3.0, 3.5], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
        >>> difference("gain", found).estimate
        2.0833333333333335
    """
    return Number(what, found.difference, found.low, found.high, unit, of)


def estimate(what: str, found: stats.Interval, unit: str = "", of: str = "") -> Number:
    """Return an interval as a number of a result.

    Example:
        >>> estimate("successes", stats.wilson(9, 10)).estimate
        0.9
    """
    return Number(what, found.estimate, found.low, found.high, unit, of)


def accuracies(study: Study) -> dict[str, NDArray[np.float64]]:
    """Return the test accuracy by variant, in the order of seeds; a run that diverged has none: 0.

    Example:
        >>> import normwise as nw
        >>> study = nw.compare(data="digits", variants=["plain"], seeds=2, epochs=1)
        >>> accuracies(study)["plain"].shape
        (2,)
    """
    return {name: np.nan_to_num(found) for name, found in per_seed(study, "test_acc").items()}


def rows(numbers: Sequence[Number], what: str) -> pd.DataFrame:
    """Return the numbers of one kind as the table of `report.Dots`, a row for each `of`.

    Example:
        >>> rows([Number("loss", 0.5, 0.4, 0.6, of="plain")], "loss").values.tolist()
        [['plain', 0.5, 0.4, 0.6]]
    """
    return pd.DataFrame(
        [(each.of, each.estimate, each.low, each.high) for each in numbers if each.what == what],
        columns=pd.Index(["row", "estimate", "low", "high"]),
    )


def finally_measured(study: Study, column: str) -> dict[str, NDArray[np.float64]]:
    """Return by variant what `measure` found after the last step, in the order of seeds.

    Example:
        >>> import normwise as nw
        >>> study = nw.compare(
        ...     data="digits", variants=["plain"], seeds=2, epochs=1,
        ...     measure=lambda network: {"layers": len(network)},
        ... )
        >>> finally_measured(study, "layers")
        {'plain': array([6., 6.])}
    """
    measured = study.measured()
    last = measured.query("step == step.max()").sort_values("seed", kind="stable")
    return {
        str(variant): rows[column].to_numpy(dtype=float)
        for variant, rows in last.groupby("variant", sort=False)
    }
