"""How much an experiment may cost."""

from dataclasses import dataclass

from normwise.errors import Problems, UsageError, suggest


@dataclass(frozen=True)
class Budget:
    """How many seeds an experiment takes, and how long it trains.

    Attributes:
        seeds: repetitions of whatever is random.
        length: of the training, as a share of the full one.

    Raises:
        UsageError: fewer than one seed, or a length outside (0, 1].

    Example:
        >>> Budget(seeds=6, length=0.5).epochs(12)
        6
    """

    seeds: int = 10
    length: float = 1.0

    def __post_init__(self) -> None:
        problems = Problems()
        if self.seeds < 1:
            problems.add(f"seeds={self.seeds}: an experiment needs at least one seed")
        if not 0 < self.length <= 1:
            problems.add(f"length={self.length}: a share of the full training is in (0, 1]")
        problems.raise_if_any()

    def epochs(self, full: int) -> int:
        """Return how many epochs, or steps, are left of the full number: at least one."""
        return max(1, round(full * self.length))


BUDGETS = {"full": Budget(), "quick": Budget(seeds=6, length=0.5)}


def read_budget(budget: str | Budget) -> Budget:
    """Return the budget that is meant.

    Raises:
        UsageError: no budget has this name.

    Example:
        >>> read_budget("quick").seeds
        6
    """
    if isinstance(budget, Budget):
        return budget
    if budget not in BUDGETS:
        raise UsageError(
            f"no budget is called {budget!r}{suggest(budget, BUDGETS)}: use one of "
            f"{', '.join(BUDGETS)}, or a normwise.lab.Budget"
        )
    return BUDGETS[budget]
