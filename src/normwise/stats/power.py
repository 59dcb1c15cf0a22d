"""What a number of seeds can show at best, known before anything is trained."""

from normwise.errors import Problems, UsageError
from normwise.stats.reading import check_count, check_share
from normwise.stats.signflip import EXACT_UP_TO


def smallest_p(n: int) -> float:
    """Return the smallest two-sided p that `paired` can give for n seeds: 2/2^n.

    It is reached when all differences have one sign. Beyond 16 seeds the test uses 2^16 signs and
    the smallest p stays at 2/2^16.

    Args:
        n: number of seeds, at least 1.

    Raises:
        UsageError: n is not a whole number of at least 1.

    Example:
        >>> smallest_p(5), smallest_p(6)
        (0.0625, 0.03125)
    """
    problems = Problems()
    check_count("n", n, problems)
    problems.raise_if_any()
    return 2 / 2 ** min(n, EXACT_UP_TO)


def seeds_needed(comparisons: int = 1, alpha: float = 0.05) -> int:
    """Return the smallest number of seeds with which a difference can become significant.

    Holm holds the smallest p against alpha/comparisons, so this is the smallest n with
    2/2^n <= alpha/comparisons. Can, not will: with so few seeds all differences must agree.

    Args:
        comparisons: number of variants compared with the baseline, at least 1.
        alpha: the level, as in `family`.

    Raises:
        UsageError: an argument out of range, or a level that no number of seeds reaches.

    Example:
        >>> seeds_needed(), seeds_needed(comparisons=5)
        (6, 8)
    """
    problems = Problems()
    check_count("comparisons", comparisons, problems)
    check_share("alpha", alpha, 0.05, problems)
    problems.raise_if_any()
    for n in range(1, EXACT_UP_TO + 1):
        if smallest_p(n) <= alpha / comparisons:
            return n
    raise UsageError(
        f"alpha={alpha} over comparisons={comparisons} asks for p <= {alpha / comparisons:.2g}, "
        f"and no p is below {smallest_p(EXACT_UP_TO):.2g}: compare fewer variants at a time"
    )


def power_warning(n: int, comparisons: int = 1, alpha: float = 0.05) -> str | None:
    """Say so when n seeds cannot make any difference significant; None when they can.

    Args:
        n: number of seeds, at least 1.
        comparisons: number of variants compared with the baseline, at least 1.
        alpha: the level, as in `family`.

    Returns:
        One sentence with the smallest p, the level and the seeds needed.

    Raises:
        UsageError: as `smallest_p` and `seeds_needed`.

    Example:
        >>> power_warning(5)[:62]
        '5 seeds cannot show a difference: the smallest possible p is 0'
        >>> power_warning(6) is None
        True
    """
    problems = Problems()
    check_count("n", n, problems)
    check_count("comparisons", comparisons, problems)
    check_share("alpha", alpha, 0.05, problems)
    problems.raise_if_any()
    best = smallest_p(n)
    needed = seeds_needed(comparisons, alpha)
    if n >= needed:
        return None
    among, level = "", f"{alpha:g}"
    if comparisons > 1:
        among = f" among {comparisons} comparisons"
        level += f"/{comparisons} = {alpha / comparisons:.2g}"
    return (
        f"{n} {'seed' if n == 1 else 'seeds'} cannot show a difference{among}: "
        f"the smallest possible p is {best:.2g}, above {level}; use {needed} or more."
    )
