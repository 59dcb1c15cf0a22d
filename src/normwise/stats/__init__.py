"""Honest statistics over seeds: paired tests, intervals, time to target."""

from .bootstrap import bca, bca_ratio
from .family import family, holm
from .interval import Interval
from .paired import Paired, paired
from .power import power_warning, seeds_needed, smallest_p
from .steps import (
    Survival,
    capped,
    kaplan_meier,
    paired_steps,
    steps_to_target,
    wilson,
)
from .verdict import Verdict, verdict

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
