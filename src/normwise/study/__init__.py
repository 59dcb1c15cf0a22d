"""Variants x seeds -> runs -> results -> verdicts."""

from normwise.study.compare import compare
from normwise.study.study import Study
from normwise.study.words import GRAMMAR

__all__ = ["GRAMMAR", "Study", "compare"]
