"""Honest statistics over seeds: paired tests, intervals, time to target."""

from normwise.stats.bootstrap import bca, bca_ratio
from normwise.stats.family import family, holm
from normwise.stats.interval import Interval
from normwise.stats.paired import Paired, paired
from normwise.stats.power import power_warning, seeds_needed, smallest_p
from normwise.stats.steps import (
    Survival,
    capped,
    kaplan_meier,
    paired_steps,
    steps_to_target,
    wilson,
)
from normwise.stats.verdict import Verdict, verdict

__all__ = [
    "Interval",
    "Paired",
    "Survival",
    "Verdict",
    "bca",
    "bca_ratio",
    "capped",
    "family",
    "holm",
    "kaplan_meier",
    "paired",
    "paired_steps",
    "power_warning",
    "seeds_needed",
    "smallest_p",
    "steps_to_target",
    "verdict",
    "wilson",
]
