"""The agreements of the house, as failing tests: floors, front doors, lean import, clean files."""

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "normwise"
FILES = sorted(SOURCE.rglob("*.py"))

FLOORS = {
    "cli": 5,
    "lab": 4,
    "study": 3,
    "rules": 3,
    "stack": 2,
    "edit": 2,
    "evidence": 2,
    "report": 1,
    "layers": 1,
    "stats": 1,
    "data": 1,
    "trace": 1,
    "errors": 0,
    "files": 0,
    "references": 0,
    "samples": 0,
}
FRONT_DOORS = {"normwise", "normwise.__main__"}
# stats and report stay usable without torch, and so must what they stand on.
WITHOUT_TORCH = {"stats", "report", "errors", "files", "references"}

# The contract with users: grow it, do not rename it.
PUBLIC = [
    "Finding",
    "Study",
    "Trained",
    "UsageError",
    "check",
    "compare",
    "data",
    "edit",
    "edits",
    "fit",
    "fold",
    "freeze_norm",
    "grow",
    "insert_dropout",
    "insert_norm",
    "lab",
    "layers",
    "mc_predict",
    "prune",
    "recalibrate",
    "remove_dropout",
    "replace_norm",
    "stats",
    "unfreeze_norm",
    "watch",
]

HEAVY = {"matplotlib", "jinja2", "sklearn", "typer", "rich", "playwright"}

# Written so that no pattern matches its own text.
UNWANTED = {
    "a package-registry host": re.compile(
        r"pypi[.]org|pythonhosted[.]org|download[.]pytorch[.]org|npmjs[.](?:org|com)|anaconda[.]org"
    ),
    "a path of a developer's machine": re.compile(
        r"(?<![\w.~-])(?<!:/)(?:/(?:work|root|home|Users)/\w|[A-Z]:\\Users\\)"
    ),
}


def module_name(path: Path) -> str:
    """Return `normwise.report.page` for its file, and the package's name for an `__init__`."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.Module, package: str) -> list[str]:
    """Return all that a module imports, anywhere in it, by absolute dotted name.

    `from a import b` counts as `a.b`: what matters here is its room, and `b` may be one.
    """
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [node.module])])
            found += [f"{base}.{alias.name}" for alias in node.names]
    return found


def floor_problems(source: str, module: str, *, is_package: bool = False) -> list[str]:
    """Return one sentence for every import of `module` that breaks the house's rules."""
    if module in FRONT_DOORS:
        return []
    room = module.split(".")[1]
    if room not in FLOORS:
        return [f"{module}: the room {room!r} is not in FLOORS"]
    problems: list[str] = []
    package = module if is_package else module.rpartition(".")[0]
    for name in imports(ast.parse(source), package):
        top, _, rest = name.partition(".")
        if top == "torch" and room in WITHOUT_TORCH:
            problems.append(f"{module} imports {name}, and {room} does without torch")
        if top != "normwise":
            continue
        target = rest.partition(".")[0]
        if target not in FLOORS:
            problems.append(f"{module} imports {name}, which is no room below it")
        elif target != room and FLOORS[target] >= max(FLOORS[room], 1):  # floor 0 is one room
            problems.append(
                f"{module} (floor {FLOORS[room]}) imports {name} (floor {FLOORS[target]}); "
                "imports only go down"
            )
    return problems


def door_problems(source: str, package: str) -> list[str]:
    """Return what an `__init__` holds besides its docstring, imports of its own and `__all__`."""
    problems: list[str] = []
    imported: set[str] = set()
    public: list[str] = []
    for node in ast.parse(source).body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.ImportFrom():
                imported |= {alias.asname or alias.name for alias in node.names}
                module = ast.Module([node], [])
                problems += [
                    f"{package} re-exports {name}, which is not its own"
                    for name in imports(module, package)
                    if not name.startswith(f"{package}.")
                ]
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List()):
                public = ast.literal_eval(node.value)
            case _:
                problems.append(f"{package}, line {node.lineno}: {ast.unparse(node)[:60]}")
    if imported != set(public) or len(public) != len(set(public)):
        odd = sorted(imported ^ set(public)) or public
        problems.append(f"{package}: __all__ and what it imports differ in {odd}")
    return problems


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_only_go_down_a_floor(path: Path):
    is_package = path.name == "__init__.py"
    problems = floor_problems(path.read_text("utf-8"), module_name(path), is_package=is_package)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("normwise.stats.paired", "import normwise.study", "imports only go down"),
        ("normwise.stats.paired", "from normwise import report", "imports only go down"),
        ("normwise.stats.paired", "def f():\n    from normwise.data import load", "only go down"),
        ("normwise.stats.paired", "from ..cli.main import app", "imports only go down"),
        ("normwise.stats.paired", "from .. import lab", "imports only go down"),
        ("normwise.study.plan", "from normwise.rules.engine import run", "imports only go down"),
        ("normwise.study.plan", "from normwise import compare", "no room below it"),
        ("normwise.study.plan", "import normwise as nw", "no room below it"),
        ("normwise.stats.paired", "import torch.nn as nn", "does without torch"),
        ("normwise.report.page", "if True:\n    from torch import Tensor", "does without torch"),
        ("normwise.errors", "from normwise.stats import paired", "imports only go down"),
        ("normwise.attic.box", "import os", "not in FLOORS"),
    ],
)
def test_floor_checker_finds_what_is_planted(module: str, source: str, complaint: str):
    problems = floor_problems(source, module)
    assert len(problems) == 1
    assert complaint in problems[0]


def test_floor_checker_lets_pass_what_is_allowed():
    source = (
        "import torch\nfrom normwise import stats\nfrom .run import Run\nfrom ..data import load"
    )
    assert floor_problems(source, "normwise.study.plan") == []
    assert floor_problems("from .plan import Plan", "normwise.study", is_package=True) == []
    assert floor_problems("from normwise.errors import UsageError", "normwise.files") == []
    assert floor_problems("from normwise.cli import main", "normwise.__main__") == []


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.name == "__init__.py" and path.parent != SOURCE],
    ids=module_name,
)
def test_front_doors_only_reexport(path: Path):
    problems = door_problems(path.read_text("utf-8"), module_name(path))
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("LIMIT = 3", "line 1: LIMIT = 3"),
        ("def f(): ...", "line 1: def f()"),
        ("import os", "line 1: import os"),
        ("from os import path\n__all__ = ['path']", "not its own"),
        ("from normwise.data import load\n__all__ = ['load']", "not its own"),
        ("from .paired import paired", "differ in ['paired']"),
        ("from .paired import paired\n__all__ = ['paired', 'holm']", "differ in ['holm']"),
    ],
)
def test_door_checker_finds_what_is_planted(source: str, complaint: str):
    problems = door_problems(source, "normwise.stats")
    assert len(problems) == 1
    assert complaint in problems[0]


def test_the_front_door_gives_what_editors_and_type_checkers_see_there():
    tree = ast.parse((SOURCE / "__init__.py").read_text("utf-8"))
    [seen] = [node for node in tree.body if ast.unparse(node).startswith("if TYPE_CHECKING:")]
    normwise = importlib.import_module("normwise")
    names = imports(ast.Module([seen], []), "normwise")
    for name in names:
        room, _, last = name.rpartition(".")
        home = importlib.import_module(name if room == "normwise" else room)
        found = home if room == "normwise" else getattr(home, last)
        assert normwise.__getattr__(last) is getattr(normwise, last) is found
    assert sorted(name.rpartition(".")[2] for name in names) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(normwise))
    with pytest.raises(AttributeError, match="module 'normwise' has no attribute 'compere'"):
        _ = normwise.compere


def test_public_names_are_pinned_and_documented():
    normwise = importlib.import_module("normwise")
    assert sorted(normwise.__all__) == sorted(PUBLIC)
    undocumented = [name for name in PUBLIC if not getattr(normwise, name).__doc__]
    assert not undocumented


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import normwise", HEAVY | {"torch", "pandas", "scipy", "numpy"}),
        ("from normwise import stats", HEAVY | {"torch", "pandas"}),
        ("from normwise import compare, fit, check, watch, fold", HEAVY | {"sympy"}),
        ("from normwise.cli import main", {"torch", "numpy", "matplotlib", "sklearn"}),
    ],
)
def test_imports_are_lean(code: str, heavy: set[str]):
    code += "; import json, sys; print(json.dumps(list(sys.modules)))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert heavy & set(json.loads(loaded.stdout)) == set()


def repository_files() -> list[Path]:
    """Return all files that are, or are about to be, in the repository."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git repository here, so no list of its files")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def unwanted(text: str) -> list[str]:
    """Return `what: the text found` for every match of an unwanted pattern."""
    return [
        f"{what}: {match.group()}"
        for what, regex in UNWANTED.items()
        for match in regex.finditer(text)
    ]


def test_no_file_names_a_registry_or_a_developers_machine():
    problems = [
        f"{path.relative_to(ROOT)} names {found}"
        for path in repository_files()
        for found in unwanted(path.read_text("utf-8", errors="ignore"))
    ]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("pip install --index-url https://" + "pypi" + ".org/simple", 1),
        ("open('" + "/ro" + "ot/data.npz')", 1),
        ("cd " + "/wo" + "rk/main", 1),
        ("file://" + "/ho" + "me/me/x", 1),
        ("normwise/work/plan and https://example.com/home/page", 0),
    ],
)
def test_unwanted_text_is_found(text: str, count: int):
    assert len(unwanted(text)) == count
