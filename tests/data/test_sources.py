from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import TensorDataset

from normwise.data import Data, load
from normwise.data.raw import Raw
from normwise.data.sources import find
from normwise.errors import UsageError

X, Y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])

CODE = """
import numpy as np
from normwise.data import load
X, Y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 0])
def arrays(): return X, Y
def four(): return X, Y, X + 1, Y
def name(): return "digits"
def archive(): return "mine.npz"
def data(): return load("digits")
def number(): return 3
def nested(): return arrays
def unknown(): return "digitz"
def broken(): raise KeyError("column")
def needs(path, size=3): return X, Y
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(CODE)
    np.savez(tmp_path / "mine.npz", x=X, y=Y)
    return tmp_path


def raw(source) -> Raw:
    found = find(source)
    assert isinstance(found, Raw)
    return found


def error(source) -> str:
    with pytest.raises(UsageError) as caught:
        find(source)
    assert len(caught.value.problems) == 1
    return str(caught.value)


@pytest.mark.parametrize("kind", [tuple, list])
def test_two_and_four_arrays(kind):
    found = raw(kind([X, Y]))
    assert (found.name, found.test) == ("arrays", None)
    assert found.train == (X, Y) or np.array_equal(found.train[0], X)
    found = raw(kind([X, Y, X + 1, Y]))
    assert found.test is not None
    assert np.array_equal(found.test[0], X + 1)


def test_datasets():
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    assert raw(dataset).test is None
    assert raw((dataset, dataset)).test is not None


def test_files_by_text_and_by_path(folder):
    for source in ("mine.npz", folder / "mine.npz", str(folder / "mine.npz")):
        assert raw(source).name == "mine"
        assert np.array_equal(raw(source).train[0], X)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("mine.py:arrays", "mine"),
        ("mine:arrays", "mine"),
        ("mine.py:four", "mine"),
        ("mine.py:name", "digits"),
        ("mine.py:archive", "mine"),
    ],
)
def test_functions_by_reference(folder, source, name):
    assert raw(source).name == name


def test_functions_themselves():
    def weather():
        return X, Y

    assert raw(weather).name == "weather"
    assert np.array_equal(raw(weather).train[0], X)


def test_a_function_may_return_data(folder):
    found = find("mine.py:data")
    assert isinstance(found, Data)
    assert found.fingerprint() == load("digits").fingerprint()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mine.py:number", "what mine.py:number returned: no data can be made of a int. Data can"),
        ("mine.py:nested", "what mine.py:nested returned: no data can be made of a function"),
        ("mine.py:unknown", "returned: no data is called 'digitz' (did you mean 'digits'?)"),
        ("mine.py:broken", "mine.py:broken raised KeyError: 'column' ("),
        ("mine.py:needs", "mine.py:needs needs arguments (path), but is called without any"),
        ("mine.py:arays", "mine.py has no 'arays' (did you mean 'arrays'?)"),
        ("mine.py", "mine.py: name the function as well, as in mine.py:function"),
        ("none.py:arrays", "no such file: "),
        ("none.npz", "no such file: "),
        ("table.csv", "table.csv: data is read from files that end in .npz or .safetensors"),
        ("some/where", "some/where: data is read from files that end in"),
        ("digit", "no data is called 'digit' (did you mean 'digits'?). Data can be 'digits'"),
        ("MNIST", "no data is called 'MNIST' (did you mean 'mnist'?)"),
        ("", "no data is called ''. Data can be"),
        (X, "no data can be made of a ndarray. Data can be"),
        (None, "no data can be made of a NoneType"),
        (pd.DataFrame({"a": [1.0]}), "of a DataFrame alone: say what is to be predicted"),
        ((X, Y, X), "no data can be made of a tuple of 3"),
        ({"x": X, "y": Y}, "no data can be made of a dict"),
    ],
)
def test_sources_that_are_none(folder, source, message):
    assert message in error(source)


def test_the_failing_line_is_named(folder):
    line = CODE.splitlines().index('def broken(): raise KeyError("column")') + 1
    assert error("mine.py:broken").endswith(f"({folder / 'mine.py'}:{line})")
