import sys
from pathlib import Path

import pytest

from normwise.errors import UsageError
from normwise.references import call_reference, explain, load_reference


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, name: str, code: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    return path


def error(text: str, what: str = "a data function") -> str:
    with pytest.raises(UsageError) as caught:
        load_reference(text, what)
    assert len(caught.value.problems) == 1
    return str(caught.value)


def test_a_file_by_any_path(folder):
    path = write(folder, "sub/own.py", "def make(): return 42")
    for text in (f"{path}:make", "sub/own.py:make", "./sub/own.py:make"):
        assert load_reference(text)() == 42


def test_a_module_and_one_of_the_current_folder(folder):
    assert load_reference("os.path:basename")("a/b") == "b"
    write(folder, "package_of_mine/nets.py", "def make(): return 7")
    before = sys.path.copy()
    assert load_reference("package_of_mine.nets:make")() == 7
    assert sys.path == before


def test_a_class_may_be_called(folder):
    write(folder, "own.py", "class Net: pass")
    assert load_reference("own.py:Net").__name__ == "Net"


def test_a_file_is_loaded_anew_each_time(folder):
    path = write(folder, "own.py", "def make(): return 1")
    first = load_reference("own.py:make")
    path.write_text("def make(): return 'longer than before'")
    assert load_reference("own.py:make")() == "longer than before"
    assert first() == 1


def test_dataclasses_with_postponed_annotations_work(folder):
    code = "from __future__ import annotations\nfrom dataclasses import dataclass\n"
    write(folder, "own.py", code + "@dataclass\nclass Net:\n    width: int = 3\n")
    assert load_reference("own.py:Net")().width == 3


def test_neighbours_are_importable_while_the_file_loads(folder):
    write(folder, "a/neighbour_one.py", "VALUE = 5")
    write(folder, "a/own.py", "from neighbour_one import VALUE\ndef make(): return VALUE")
    before = sys.path.copy()
    assert load_reference("a/own.py:make")() == 5
    assert sys.path == before


def test_neighbours_of_one_name_in_two_folders_are_two(folder):
    for name, value in (("a", 1), ("b", 2)):
        write(folder, f"{name}/neighbour_two.py", f"VALUE = {value}")
        write(folder, f"{name}/neighbours/__init__.py", "")
        write(folder, f"{name}/neighbours/inner.py", f"VALUE = {value}0")
        code = "from neighbour_two import VALUE\nfrom neighbours import inner\n"
        write(folder, f"{name}/own.py", code + "def make(): return VALUE, inner.VALUE")
    assert load_reference("a/own.py:make")() == (1, 10)
    assert load_reference("b/own.py:make")() == (2, 20)
    assert load_reference("a/own.py:make")() == (1, 10)


def test_other_modules_are_left_alone_by_a_namesake(folder):
    import json

    write(folder, "a/own.py", "import json\ndef make(): return json")
    write(folder, "b/json.py", "")
    write(folder, "b/own.py", "def make(): return 0")
    assert load_reference("a/own.py:make")() is json
    load_reference("b/own.py:make")
    assert sys.modules["json"] is json


@pytest.mark.parametrize("text", ["", "own.py", ":make", "own.py:", "digits"])
def test_text_that_is_no_reference(folder, text):
    message = error(text, "a network factory")
    assert message == (
        f"{text!r} does not name a network factory: write file.py:function or module:function"
    )


def test_no_such_file(folder):
    write(folder, "networks.py", "")
    assert error("network.py:make") == (
        f"no such file: {folder / 'network.py'} (did you mean 'networks.py'?)"
    )
    (folder / "folder.py").mkdir()
    assert "no such file" in error("folder.py:make")


@pytest.mark.parametrize("text", ["no_such_module:f", "os.no_such_module:f", "no_such.thing:f"])
def test_no_such_module(folder, text):
    assert "there is no module 'no_such" in error(text) or "'os.no_such_module'" in error(text)


def test_no_such_name(folder):
    write(folder, "own.py", "def make_net(): pass")
    assert error("own.py:make_nt") == "own.py has no 'make_nt' (did you mean 'make_net'?)"
    assert error("own.py:zzz") == "own.py has no 'zzz'"


def test_what_cannot_be_called(folder):
    write(folder, "own.py", "SIZE = 3")
    assert error("own.py:SIZE", "a network factory") == (
        "own.py:SIZE is a int, which cannot be called: name a network factory instead"
    )


@pytest.mark.parametrize(
    ("code", "message", "line"),
    [
        ("x = 1\nraise ValueError('no data')", "ValueError: no data", 2),
        ("import no_such_neighbour", "ModuleNotFoundError: No module named 'no_such_", 1),
        ("import sys\n\nsys.exit(3)", "SystemExit: 3", 3),
        ("def make(:\n    pass", "SyntaxError: ", 1),
        ("import json\njson.loads('{')", "JSONDecodeError: ", 2),
    ],
)
@pytest.mark.parametrize("kind", ["file", "module"])
def test_an_import_that_raises(folder, code, message, line, kind):
    name = f"raising_{abs(hash(code))}"
    path = write(folder, f"{name}.py", code)
    before, modules = sys.path.copy(), set(sys.modules)
    found = error(f"{name}.py:make" if kind == "file" else f"{name}:make")
    assert f" raised {message}" in found
    assert found.endswith(f"({path}:{line})")
    assert sys.path == before
    assert not {module for module in set(sys.modules) - modules if "raising_" in module}


@pytest.mark.parametrize(
    ("function", "needed"),
    [
        (lambda a, b=1, *, c: 0, "a, c"),
        (type("Net", (), {"__init__": lambda self, width: None}), "width"),
    ],
)
def test_a_function_that_needs_arguments(function, needed):
    with pytest.raises(UsageError, match=rf"^own.py:f needs arguments \({needed}\), but is called"):
        call_reference(function, "own.py:f")


def test_a_function_that_needs_none():
    assert call_reference(lambda *a, b=2, **c: b, "own.py:f") == 2
    assert call_reference(dict, "own.py:f") == {}


def test_a_function_that_raises():
    def fail():
        raise KeyError("column")

    line = fail.__code__.co_firstlineno + 1
    with pytest.raises(UsageError) as caught:
        call_reference(fail, "own.py:fail")
    assert str(caught.value) == f"own.py:fail raised KeyError: 'column' ({__file__}:{line})"
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_interrupt_is_no_mistake():
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call_reference(interrupt, "own.py:f")


def test_the_line_is_the_users_and_not_the_librarys():
    import json

    def fail():
        return json.loads("{")

    with pytest.raises(ValueError, match="Expecting property name") as caught:
        fail()
    assert explain(caught.value).endswith(f"({__file__}:{fail.__code__.co_firstlineno + 1})")


def test_an_error_without_a_message():
    assert explain(RuntimeError()) == "RuntimeError"
