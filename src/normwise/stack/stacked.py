"""Many runs of one architecture, trained as a single tensor program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from normwise.data import Split
from normwise.stack.forms import Masks, PerRun, StackedForms
from normwise.stack.forms.dropout import Streams
from normwise.stack.objective import Objective
from normwise.stack.optimizers import Recipe, StackedOptimizer
from normwise.stack.recording import NotStackable, Program, record
from normwise.stack.seeding import derive

_ROWS = 8192  # samples times runs that an evaluation sends through at once
