"""Every example in a docstring or a page is run, and everything public has one."""

import ast
import doctest
import importlib
import inspect
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import normwise as nw

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "normwise"
# `__main__` is left out: importing it runs the program.
FILES = sorted(path for path in SOURCE.rglob("*.py") if path.name != "__main__.py")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PYTHON_BLOCK = re.compile(r"^```(?:python|pycon)\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def module_name(path: Path) -> str:
    """Return `normwise.report.page` for its file, and the package's name for an `__init__`."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def docstrings(source: str) -> list[tuple[str, str, int]]:
    """Return name, text and line (from 0) of every docstring in a module.

    Read from the source, since `doctest`'s own finder passes over decorated functions.
    """
    return [
        (getattr(node, "name", "module"), text, node.body[0].lineno - 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, DOCUMENTED)
        and (text := ast.get_docstring(node, clean=False)) is not None
    ]


def small_net() -> nn.Module:
    """Return a network for the digits, of a size to be trained fifty times."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))


def failures(text: str, names: dict[str, object], name: str, path: Path, line: int = 0) -> str:
    """Run the examples of a text and return doctest's account of those that fail."""
    account = io.StringIO()
    examples = doctest.DocTestParser().get_doctest(text, names, name, str(path), line)
    runner = doctest.DocTestRunner(verbose=False, optionflags=FLAGS)
    torch.manual_seed(0)  # an example that holds for most weights would fail now and then
    runner.run(examples, out=account.write, clear_globs=False)
    names.update(examples.globs)  # doctest works on a copy
    return account.getvalue()


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_examples_of_module(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(module_name(path))
    account = "".join(
        failures(text, dict(vars(module)), name, path, line)
        for name, text, line in docstrings(path.read_text("utf-8"))
    )
    assert not account, account


def test_examples_of_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    account = ""
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text("utf-8")
        names: dict[str, object] = {}  # shared by the blocks of a page, as its reader would
        for block in PYTHON_BLOCK.finditer(text):
            line = text.count("\n", 0, block.start(1))
            account += failures(block[1], names, page.name, page, line)
    assert not account, account


def test_the_readme_is_one_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its blocks without prompts run, in their order, for a reader who has a network and data."""
    pytest.importorskip("onnxscript")
    monkeypatch.chdir(tmp_path)
    digits = nw.data.load("digits", standardize=False)
    x, y = digits.val.x, digits.val.y
    net = small_net()
    names: dict[str, Any] = {
        "make_net": small_net,
        "net": net,
        "optimizer": torch.optim.SGD(net.parameters()),
        "loader": DataLoader(TensorDataset(x, y), 64, shuffle=True),
        "x": x,
        "y": y,
        "new_x": x[:5],
        "example": x[:8],
        "F": F,
    }
    text = (ROOT / "README.md").read_text("utf-8")
    blocks = [block for block in PYTHON_BLOCK.findall(text) if ">>>" not in block]
    exec(compile("\n".join(blocks), "README.md", "exec"), names)
    assert names["study"].summary()["runs"].tolist() == [10] * 5
    again = nw.Trained.load("runs/final", small_net)
    assert (again.predict(x) == names["trained"].predict(x)).all()
    assert names["mean"].shape == (len(x), 10)
    assert torch.allclose(names["folded"](x), names["net"].eval()(x), atol=1e-5)
    assert Path("report.html").exists()
    assert Path("net.onnx").exists()


def test_everything_public_has_an_example():
    missing = []
    for path in SOURCE.glob("*/__init__.py"):
        room = importlib.import_module(module_name(path))
        for name in getattr(room, "__all__", []):
            thing = getattr(room, name)
            if not (inspect.isclass(thing) or inspect.isroutine(thing)):
                continue
            text = inspect.cleandoc(thing.__doc__ or "")
            if not re.search(r"^Example:\n(?:.*\n)*? +>>> ", text, re.MULTILINE):
                missing.append(f"{room.__name__}.{name}")
    assert not missing, "no docstring with an `Example:` that runs: " + ", ".join(missing)


def test_examples_are_run_wherever_they_stand():
    source = '''
"""A module.

>>> 1 + 1
3
"""
import functools

class A:
    """A class.

    >>> 2 + 2
    5
    """

    @functools.cache
    def f(self):
        """Do.

        >>> 3 + 3
        7
        >>> print("a   b", list(range(20)))
        a b [0, 1, ..., 19]
        """
'''
    accounts = [failures(text, {}, name, ROOT / "a.py") for name, text, _ in docstrings(source)]
    assert [("Got:" in account, account.count("Expected:")) for account in accounts] == [
        (True, 1),
        (True, 1),
        (True, 1),
    ]
