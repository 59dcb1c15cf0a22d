"""How a number changes over a training: its first quarter against its last."""

import numpy as np

from normwise.evidence import Evidence, Series


def quarters(series: Series) -> tuple[float, float]:
    """Return the medians of the first and of the last quarter of what was kept of a series."""
    size = max(1, len(series.values) // 4)
    return float(np.median(series.values[:size])), float(np.median(series.values[-size:]))


def noise(series: Series) -> float:
    """Return the standard error of the difference of what `quarters` returns."""
    size = max(1, len(series.values) // 4)
    parts = series.values[:size], series.values[-size:]
    return float(np.sqrt(np.pi / 2 * sum(part.var() for part in parts) / size))


def is_adversarial(evidence: Evidence) -> bool:
    """Whether several optimizers are at work, which may play against each other."""
    return sum(optimizer.steps > 0 for optimizer in evidence.optimizers) > 1
