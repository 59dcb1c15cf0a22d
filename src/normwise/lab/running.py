"""Running claims."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch

from normwise.data import load
from normwise.lab.budget import Budget, read_budget
from normwise.lab.claim import Claim
from normwise.lab.registry import all_claims, find_claims
from normwise.lab.result import Result


def run(name: str, seed: int = 0, data: Any = "digits", budget: str | Budget = "full") -> Result:
    """Test one claim by its experiment.

    Args:
        name: of the claim; `all_claims` has them all.
        seed: of everything random; the same seed gives the same numbers.
        data: whatever `normwise.data.load` takes; claims about mathematics do without.
        budget: `"full"` (10 seeds), `"quick"` (6 seeds, half as long), or a `Budget`.

    Returns:
        The verdict, the numbers and the figures.

    Raises:
        UsageError: no claim has this name, or data or budget are not understood.

    Example:
        >>> import normwise as nw
        >>> result = nw.lab.run("bn-identity")
        >>> result.verdict, result.numbers[0].estimate < 1e-12
        ('holds', True)
    """
    return next(run_all([name], seed, data, budget))


def run_all(
    names: Iterable[str] | None = None,
    seed: int = 0,
    data: Any = "digits",
    budget: str | Budget = "full",
) -> Iterator[Result]:
    """Test claims one after the other, and yield each result as soon as it is there.

    Args:
        names: of the claims; None for all.
        seed: as in `run`.
        data: as in `run`.
        budget: as in `run`.

    Raises:
        UsageError: before the first experiment, for everything that is wrong.

    Example:
        >>> import normwise as nw
        >>> [result.verdict for result in nw.lab.run_all(["bn-identity"])]
        ['holds']
    """
    claims = find_claims(list(all_claims() if names is None else names))
    given, loaded = read_budget(budget), load(data)
    return (_run(claim, seed, loaded, given) for claim in claims)


def _run(claim: Claim, seed: int, data: Any, budget: Budget) -> Result:
    """Run one claim, whose random numbers and threads are nobody else's business."""
    threads = torch.get_num_threads()
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            result = claim.run(seed, data, budget)
        finally:
            torch.set_num_threads(threads)
    seconds = time.perf_counter() - start
    return replace(result, data=data.name, seed=seed, budget=budget, seconds=seconds)
