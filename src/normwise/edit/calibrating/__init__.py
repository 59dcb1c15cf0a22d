"""What `recalibrate` is made of: batches, passes over them, pooled statistics."""

from normwise.edit.calibrating.batches import Forward, Sparing, call
from normwise.edit.calibrating.dependence import Dependence
from normwise.edit.calibrating.passes import Pass
from normwise.edit.calibrating.population import Population
from normwise.edit.calibrating.processes import together
from normwise.edit.calibrating.watching import showing

__all__ = [
    "Dependence",
    "Forward",
    "Pass",
    "Population",
    "Sparing",
    "call",
    "showing",
    "together",
]
