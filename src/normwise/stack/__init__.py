"""Train runs: the one training loop, and what it needs to be the same run every time."""

from normwise.stack.alone import Alone
from normwise.stack.loop import Budget, Evaluation, Outcome, Stack, train
from normwise.stack.objective import LOSSES, Objective
from normwise.stack.optimizers import OPTIMIZERS, Recipe
from normwise.stack.order import Order
from normwise.stack.seeding import derive, seeded

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "Alone",
    "Budget",
    "Evaluation",
    "Objective",
    "Order",
    "Outcome",
    "Recipe",
    "Stack",
    "derive",
    "seeded",
    "train",
]
