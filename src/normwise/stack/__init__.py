"""Train runs: the one training loop, and what it needs to be the same run every time."""

from normwise.stack.alone import Alone
from normwise.stack.augmenting import Augmenter, Own
from normwise.stack.budget import Budget
from normwise.stack.executor import Executor, InProcess, Processes
from normwise.stack.heads import Heads, goal_of
from normwise.stack.keeping import Keeping, State
from normwise.stack.loop import train
from normwise.stack.objective import LOSSES, Goal, Objective, Scores, minimised
from normwise.stack.order import ORDERS, Order
from normwise.stack.outcome import Evaluation, Outcome
from normwise.stack.penalties import Penalty
from normwise.stack.planner import Planner, Run, Share
from normwise.stack.protocol import Stack
from normwise.stack.recipes import OPTIMIZERS, Recipe
from normwise.stack.recording import NotStackable
from normwise.stack.schedules import SCHEDULES, Schedule
from normwise.stack.seeding import derive, seeded
from normwise.stack.stacked import Stacked
from normwise.stack.stopping import Stopping

__all__ = [
    "LOSSES",
    "OPTIMIZERS",
    "ORDERS",
    "SCHEDULES",
    "Alone",
    "Augmenter",
    "Budget",
    "Evaluation",
    "Executor",
    "Goal",
    "Heads",
    "InProcess",
    "Keeping",
    "NotStackable",
    "Objective",
    "Order",
    "Outcome",
    "Own",
    "Penalty",
    "Planner",
    "Processes",
    "Recipe",
    "Run",
    "Schedule",
    "Scores",
    "Share",
    "Stack",
    "Stacked",
    "State",
    "Stopping",
    "derive",
    "goal_of",
    "minimised",
    "seeded",
    "train",
]
