"""Measure a live network, and leave no trace in it."""

from normwise.evidence.batches import Batches
from normwise.evidence.broadcasts import Broadcast
from normwise.evidence.distributions import Distribution, distributions
from normwise.evidence.evidence import Evidence
from normwise.evidence.graph import Graph, Node
from normwise.evidence.level import Level
from normwise.evidence.losses import Loss
from normwise.evidence.module import Activation, Module
from normwise.evidence.norms import Norm
from normwise.evidence.observer import Observer
from normwise.evidence.optimizers import Optimizer
from normwise.evidence.origins import Origins
from normwise.evidence.parameters import Parameter
from normwise.evidence.passes import Passes
from normwise.evidence.probe import probe
from normwise.evidence.program import Program, Training
from normwise.evidence.schedule import Schedule
from normwise.evidence.series import Series
from normwise.evidence.units import Units

__all__ = [
    "Activation",
    "Batches",
    "Broadcast",
    "Distribution",
    "Evidence",
    "Graph",
    "Level",
    "Loss",
    "Module",
    "Node",
    "Norm",
    "Observer",
    "Optimizer",
    "Origins",
    "Parameter",
    "Passes",
    "Program",
    "Schedule",
    "Series",
    "Training",
    "Units",
    "distributions",
    "probe",
]
