"""Which claims stand together."""

from collections.abc import Iterable

from normwise.lab.result import Result

FAMILIES = {  # by the first word of a claim's name, in the order of the book
    "bn": "Batch normalization",
    "ln": "Layer normalization",
    "dropout": "Dropout",
    "init": "Initialization",
}
REST = "Foundations"


def family(name: str) -> str:
    """Return under which heading a claim stands.

    Example:
        >>> family("bn-speed"), family("linear-collapse")
        ('Batch normalization', 'Foundations')
    """
    return FAMILIES.get(name.partition("-")[0], REST)


def by_family(results: Iterable[Result]) -> list[Result]:
    """Put results into the order of the book, those of a family in the order given.

    Example:
        >>> by_family([])
        []
    """
    order = [*FAMILIES.values(), REST]
    return sorted(results, key=lambda result: order.index(family(result.claim.name)))
