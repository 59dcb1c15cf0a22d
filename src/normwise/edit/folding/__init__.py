"""Fold a network for inference: capture it as a graph, simplify what can be proved, compare."""

from normwise.edit.folding.fold import fold
from normwise.edit.folding.folded import Folded
from normwise.edit.folding.loading import load_weights
from normwise.edit.folding.report import Entry, Report
from normwise.edit.folding.shipping import check_ending, export

__all__ = ["Entry", "Folded", "Report", "check_ending", "export", "fold", "load_weights"]
