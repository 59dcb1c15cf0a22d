"""What goes wrong by the user's hand: one exception, which names every mistake at once."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """One or more mistakes in what was asked for.

    Each problem is one sentence or two that say what was asked, what arrived and what to do. The
    command line prints them without a traceback and exits with 2.

    Attributes:
        problems: the mistakes, in the order in which they were found.

    Example:
        >>> raise UsageError("seeds=0: a study needs at least one seed")
        Traceback (most recent call last):
        normwise.errors.UsageError: seeds=0: a study needs at least one seed
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Problems:
    """Collects mistakes, so that they are reported together and not one per attempt.

    Example:
        >>> problems = Problems()
        >>> with problems.collect():
        ...     raise UsageError("lr=-1: a learning rate is positive")
        >>> problems.add("seeds=0: a study needs at least one seed")
        >>> len(problems.found)
        2
    """

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, *problems: str) -> None:
        """Note mistakes and go on."""
        self.found.extend(problems)

    def collect(self, about: str = "") -> "_Collector":
        """Return a context that turns a `UsageError` raised in it into noted problems.

        Args:
            about: what they are about, put in front of each.
        """
        return _Collector(self, about)

    def raise_if_any(self) -> None:
        """Raise all that was noted as one `UsageError`; do nothing where nothing was noted."""
        if self.found:
            raise UsageError(*self.found)


class _Collector:
    def __init__(self, problems: Problems, about: str) -> None:
        self._problems, self._about = problems, about

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, UsageError):
            self._problems.add(*(f"{self._about}{problem}" for problem in error.problems))
            return True
        return False


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'layer'?)`` for a misspelt word, or nothing where none is near.

    Example:
        >>> suggest("lyer", ["batch", "layer"])
        " (did you mean 'layer'?)"
    """
    near = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""
