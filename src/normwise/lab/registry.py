"""Finds the claims: every class of that kind in a file of `lab/claims`."""

import importlib
import inspect
import pkgutil
from functools import cache

from normwise.errors import UsageError, suggest
from normwise.lab.claim import Claim


@cache
def all_claims() -> dict[str, Claim]:
    """Return every claim by name, in alphabetical order.

    Example:
        >>> "bn-speed" in all_claims()
        True
    """
    package = f"{__name__.rpartition('.')[0]}.claims"
    folder = importlib.import_module(package).__path__
    modules = (f"{package}.{found.name}" for found in pkgutil.iter_modules(folder))
    claims = [claim for module in modules for claim in _claims_in(module)]
    return {claim.name: claim for claim in sorted(claims, key=lambda claim: claim.name)}


def find_claims(names: list[str]) -> list[Claim]:
    """Return the claims of these names.

    Raises:
        UsageError: for all names that no claim has.

    Example:
        >>> find_claims(["bn-sped"])
        Traceback (most recent call last):
        normwise.errors.UsageError: there is no claim 'bn-sped' (did you mean 'bn-speed'?)
    """
    known = all_claims()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(*(f"there is no claim {name!r}{suggest(name, known)}" for name in unknown))
    return [known[name] for name in names]


def _claims_in(module_name: str) -> list[Claim]:
    module = importlib.import_module(module_name)
    return [
        kind()
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Claim) and kind.__module__ == module_name
    ]
