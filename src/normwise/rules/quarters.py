"""How a number changes over a training: its first quarter against its last."""

import numpy as np

from normwise.evidence import Evidence, Series


def quarters(series: Series) -> tuple[float, float]:
    """Return the medians of the first and of the last quarter of what was kept of a series."""
    size = max(1, len(series.values) // 4)
    return float(np.median(series.values[:size])), float(np.median(series.values[-size:]))


def is_adversarial(evidence: Evidence) -> bool:
    """Whether several optimizers are at work, which may play against each other."""
    return sum(optimizer.steps > 0 for optimizer in evidence.optimizers) > 1
