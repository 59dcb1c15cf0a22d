"""Measure a live network, and leave no trace in it."""

from normwise.evidence.distributions import Distribution, distributions

__all__ = ["Distribution", "distributions"]
