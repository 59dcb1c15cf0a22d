"""Variants x seeds -> runs -> results -> verdicts; and a single run, which is a study of one."""

from normwise.study.compare import compare
from normwise.study.fit import fit
from normwise.study.networks import mlp
from normwise.study.study import Study
from normwise.study.trained import Trained
from normwise.study.words import GRAMMAR

__all__ = ["GRAMMAR", "Study", "Trained", "compare", "fit", "mlp"]
