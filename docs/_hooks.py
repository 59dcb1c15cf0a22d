"""What mkdocs does on top: formulas as drawings, and the measured results beside the pages."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from normwise.report.formulas import formula_svg

_RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
_LAST_LINE = re.compile(r"^(```python\n.+?)\n+^```$", re.MULTILINE | re.DOTALL)
_FORMULA = re.compile(r"^\$\$\n(.+?)\n\$\$$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the results of the benchmarks in, which the pages link to."""
    for path in sorted(_RESULTS.glob("*.md")):
        files.append(
            File.generated(config, f"benchmarks/results/{path.name}", content=path.read_text())
        )
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Draw formulas, end blocks at their last line, and link to the results in the site."""
    drawn = _FORMULA.sub(lambda match: f'<p class="drawn">{formula_svg(match[1])}</p>', markdown)
    drawn = _LAST_LINE.sub(r"\1\n```", drawn)
    return drawn.replace("](../benchmarks/", "](benchmarks/")
