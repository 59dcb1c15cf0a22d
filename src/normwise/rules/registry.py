"""Finds the rules: every file of this room that is named after a code."""

import importlib
import inspect
import pkgutil
import re
from functools import cache

from normwise.rules.rule import Rule

_CODE = re.compile(r"[a-z]{3}\d{3}")


@cache
def all_rules() -> dict[str, Rule]:
    """Return every rule with its default thresholds, by code, in the order of codes.

    Example:
        >>> list(all_rules()) == sorted(all_rules())
        True
    """
    package = __name__.rpartition(".")[0]
    folder = importlib.import_module(package).__path__
    names = (found.name for found in pkgutil.iter_modules(folder) if _CODE.fullmatch(found.name))
    rules = [rule for name in names for rule in _rules_in(f"{package}.{name}")]
    return {rule.code: rule for rule in sorted(rules, key=lambda rule: rule.code)}


def _rules_in(module_name: str) -> list[Rule]:
    module = importlib.import_module(module_name)
    return [
        kind()
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Rule) and kind.__module__ == module_name
    ]
