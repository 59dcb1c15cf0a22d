"""What stands in several signatures is the same in all: pyright and `help()` need it in each."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import normwise as nw
from normwise import study
from normwise.cli.compare import compare
from normwise.cli.fit import fit
from normwise.cli.options import Format

ON_PURPOSE = {"variants"}  # a text on the command line, with one more of them


def defaults(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def clashes(one: Callable[..., Any], other: Callable[..., Any]) -> set[str]:
    ours, theirs = defaults(one), defaults(other)
    return {name for name in ours.keys() & theirs.keys() if ours[name] != theirs[name]}


@pytest.mark.parametrize(("command", "function"), [(compare, nw.compare), (fit, nw.fit)])
def test_a_command_has_the_defaults_of_its_function(command, function):
    assert clashes(command, function) == ON_PURPOSE & defaults(command).keys()


def test_fit_and_compare_share_words_and_defaults():
    assert clashes(nw.fit, nw.compare) == {"epochs", "device"}
    ours, theirs = get_type_hints(nw.fit), get_type_hints(nw.compare)
    shared = (ours.keys() & theirs.keys()) - {"model", "return"}  # fit takes a network, too
    assert {name for name in shared if ours[name] != theirs[name]} == set()


class Passed(Exception):
    """Ends a command once it has handed its options on."""


EXAMPLES = {int: 7, float: 0.7, bool: True, str: "text", Path: Path("folder"), Format: Format.json}


def example(hint: Any) -> Any:
    kinds = getattr(hint, "__args__", (hint,))
    return next(value for kind, value in EXAMPLES.items() if kind in kinds)


@pytest.mark.parametrize("command", [compare, fit])
def test_a_command_hands_every_option_on(command, monkeypatch):
    hints = get_type_hints(command)
    given = {name: example(hints[name]) for name in defaults(command)}
    passed: dict[str, Any] = {}

    def note(*args: Any, **options: Any) -> None:
        passed.update(options, **dict(zip(given, args, strict=False)))
        raise Passed

    monkeypatch.setattr(study, command.__name__, note)
    with pytest.raises(Passed):
        command(**given)
    del given["output"]  # how the answer is printed
    assert passed == given
