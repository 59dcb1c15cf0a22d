"""The site builds, and no link in it leads nowhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(site)]
    return subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built site."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_in_the_site(site: Path):
    pages = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    for page in pages:
        name = "index" if page.stem == "README" else page.stem
        assert (site / page.with_name(f"{name}.html")).exists(), page
    assert (site / "benchmarks" / "results" / "stack.html").exists()
    assert not list(site.rglob("_hooks*"))


def test_formulas_are_drawn(site: Path):
    text = (site / "lab" / "bn-speed.html").read_text("utf-8")
    assert '<svg class="formula"' in text
    assert "$$" not in text


def test_nothing_is_fetched_from_elsewhere(site: Path):
    for page in ("index.html", "lab/bn-speed.html"):
        text = (site / page).read_text("utf-8")
        assert not re.search(r'<(?:script|img|link)[^>]*(?:src|href)="https?:', text), page


def test_a_link_that_leads_nowhere_fails(tmp_path: Path):
    pytest.importorskip("mkdocs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    (tmp_path / "docs").mkdir()
    for name in ("_hooks.py", "index.md"):
        shutil.copy(ROOT / "docs" / name, tmp_path / "docs")
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    assert "guide.md" in done.stderr
