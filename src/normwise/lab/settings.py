"""The setting that the lectures train in, for data of any size."""

from typing import TypedDict

from normwise.data import Data
from normwise.lab.budget import Budget

_LARGE = 10_000  # training samples


class Setting(TypedDict):
    """How `normwise.compare` is to train."""

    seeds: list[int]
    epochs: int
    batch_size: int
    lr: float
    stack: int
    progress: bool


def classic(seed: int, data: Data, budget: Budget) -> Setting:
    """Return the lectures' setting, as arguments of `normwise.compare`.

    SGD with learning rate 0.01. On MNIST two epochs in batches of 512, about 200 steps; on small
    data as many steps, in 12 epochs with batches of 64.

    Args:
        seed: the first of the seeds.
        data: what is trained on.
        budget: how many seeds, and how long.

    Example:
        >>> import normwise as nw
        >>> setting = classic(0, nw.data.load("digits"), nw.lab.Budget())
        >>> setting["epochs"], setting["batch_size"], len(setting["seeds"])
        (12, 64, 10)
    """
    large = len(data.train) >= _LARGE
    return {
        "seeds": list(range(seed, seed + budget.seeds)),
        "epochs": budget.epochs(2 if large else 12),
        "batch_size": 512 if large else 64,
        "lr": 0.01,
        "stack": budget.seeds,  # decided here: a planner's timings would decide last digits
        "progress": False,
    }
