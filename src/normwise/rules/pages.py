"""A rule in words: its page, made from its own docstring."""

import inspect
import os
import re
from dataclasses import fields
from pathlib import Path

from normwise.errors import UsageError, suggest
from normwise.files import write_text
from normwise.rules.registry import all_rules
from normwise.rules.rule import Rule

HEADINGS = ("What it does", "Why it is bad", "Example", "Fix", "References")


def page(rule: Rule) -> str:
    """Return what a rule is about, as Markdown.

    Example:
        >>> from normwise.rules import all_rules
        >>> print(page(all_rules()["NRM101"]).splitlines()[0])
        # NRM101: bias-before-batch-norm
    """
    summary, sections = read(rule)
    lines = [
        f"# {rule.code}: {rule.name}",
        f"Level: {rule.level}. Needs: {rule.needs.name.lower()}. Since {rule.since}.",
        summary,
        *(part for title, text in sections.items() for part in (f"## {title}", text)),
    ]
    thresholds = [f"- `{f.name}` = {getattr(rule, f.name)}" for f in fields(rule)]
    if thresholds:
        lines += ["## Thresholds", "\n".join(thresholds)]
    return "\n\n".join(lines) + "\n"


def write_pages(folder: str | os.PathLike[str]) -> list[Path]:
    """Write the page of every rule, and a list of them, as Markdown files.

    Args:
        folder: where `<code>.md` and `README.md` go.

    Raises:
        UsageError: the folder cannot be written to.

    Example:
        >>> {path.name for path in write_pages("rules")} >= {"README.md", "NRM101.md"}
        True
    """
    texts = {f"{code}.md": page(rule) for code, rule in all_rules().items()}
    texts["README.md"] = overview()
    return [write_text(Path(folder) / name, text) for name, text in texts.items()]


def overview() -> str:
    """Return the list of all rules, as a Markdown table."""
    rows = [
        f"| [{rule.code}]({rule.code}.md) | {rule.name} | {' '.join(read(rule)[0].split())} "
        f"| {rule.level} | {rule.needs.name.lower()} |"
        for rule in all_rules().values()
    ]
    head = ["| code | name | the fault | level | needs |", "|---|---|---|---|---|"]
    return "# Rules\n\n" + "\n".join([*head, *rows]) + "\n"


def read(rule: Rule) -> tuple[str, dict[str, str]]:
    """Return a rule's summary, and the text under each of the five headings.

    Example:
        >>> from normwise.rules import all_rules
        >>> list(read(all_rules()["NRM101"])[1]) == list(HEADINGS)
        True
    """
    text = inspect.cleandoc(type(rule).__doc__ or "")
    summary, *parts = re.split(r"^(\w[\w ]*):\n", text, flags=re.MULTILINE)
    found = dict(zip(parts[::2], map(inspect.cleandoc, parts[1::2]), strict=True))
    return summary.strip(), {title: found[title] for title in HEADINGS if title in found}


def explain_rule(code: str) -> str:
    """Return the page of the rule with a code or a name.

    Raises:
        UsageError: there is no such rule.

    Example:
        >>> explain_rule("bias-before-batch-norm").startswith("# NRM101")
        True
    """
    rules = all_rules()
    named = {rule.name: rule for rule in rules.values()}
    rule = rules.get(code.upper()) or named.get(code.lower())
    if rule is None:
        raise UsageError(f"there is no rule {code!r}{suggest(code, [*rules, *named])}")
    return page(rule)
