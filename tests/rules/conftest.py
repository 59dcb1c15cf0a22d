"""Collects the cases of rules: functions named `bad_*`, `ok_*` and `near_*` in `test_<code>.py`.

A bad case returns its findings and the place at which the rule must fire; an ok or a near case
returns findings among which nothing but info is found, and that the rule had enough evidence for.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

HERE = Path(__file__).parent


def bad(code: str, case: Callable[[], Any]) -> None:
    """The rule fires at the place, nowhere else, and no other rule does."""
    findings, where = case()
    assert not findings.notes
    places = [f.where for f in findings if f.code == code]
    assert places == [where], f"{code} at {places}; {list(findings)} {findings.unanswered}"
    others = [f for f in findings if f.code != code and f.level != "info"]
    assert not others


def fine(code: str, case: Callable[[], Any]) -> None:
    """The rule had enough evidence and found nothing; no other found more than an info."""
    findings = case()
    assert not findings.notes
    assert code in findings.clean, (list(findings), findings.unanswered.get(code))
    assert not [f for f in findings if f.level != "info"]


CHECKS = {"bad": bad, "ok": fine, "near": fine}


def pytest_collectstart(collector: Any) -> None:
    """Give every file the same data, whichever others are run."""
    torch.manual_seed(0)


def pytest_pycollect_makeitem(collector: Any, name: str, obj: Any) -> Any:
    """Make a test of each case."""
    kind = name.partition("_")[0]
    if kind not in CHECKS or not inspect.isfunction(obj) or collector.path.parent != HERE:
        return None
    code = collector.path.stem.removeprefix("test_").upper()

    def run() -> None:
        torch.manual_seed(0)
        CHECKS[kind](code, obj)

    return pytest.Function.from_parent(collector, name=name, callobj=run)
