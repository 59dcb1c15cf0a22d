"""Which rules run, and which findings are known and accepted."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from normwise.errors import Problems, UsageError, suggest
from normwise.files import write_text
from normwise.rules.finding import Finding


@dataclass(frozen=True)
class Ignore:
    """A finding, or a family of them, that is accepted for a reason.

    Attributes:
        code: of a rule, or the beginning of one: `NRM` is a family.
        where: a pattern of places, as in a shell; `*` is everywhere.
        reason: why it is accepted.

    Example:
        >>> Ignore.read("NRM101@encoder.*: weights of others")
        Ignore(code='NRM101', where='encoder.*', reason='weights of others')
    """

    code: str
    where: str = "*"
    reason: str = ""

    @classmethod
    def read(cls, text: str) -> "Ignore":
        """Read `CODE`, `CODE@PATTERN` or `CODE@PATTERN: REASON`.

        Raises:
            UsageError: no code is given, or a pattern without a reason.
        """
        place, colon, reason = text.partition(": ")
        code, at, where = place.strip().partition("@")
        if not code or (at and not where):
            raise UsageError(f"ignore={text!r}: write CODE, CODE@PATTERN or CODE@PATTERN: REASON")
        if at and not (colon and reason.strip()):
            raise UsageError(
                f"ignore={text!r}: say why it is ignored there, as in "
                f"'{place.strip()}: the weights are frozen'"
            )
        return cls(code.upper(), where or "*", reason.strip())

    def covers(self, finding: Finding) -> bool:
        """Whether it accepts a finding."""
        return finding.code.startswith(self.code) and fnmatchcase(finding.where, self.where)


@dataclass(frozen=True)
class Selection:
    """The rules to run, and what of their findings to leave out.

    Attributes:
        codes: of the rules to run.
        ignores: at places only; codes that are ignored everywhere are not in `codes`.
        baseline: codes and places of findings that are known.

    Example:
        >>> selection = read_selection(["NRM101", "NRM102"], ignore="NRM102")
        >>> selection.codes
        ('NRM101',)
    """

    codes: tuple[str, ...]
    ignores: tuple[Ignore, ...] = ()
    baseline: frozenset[tuple[str, str]] = frozenset()

    def accepts(self, finding: Finding) -> bool:
        """Whether a finding is left out."""
        known = (finding.code, finding.where) in self.baseline
        return known or any(ignore.covers(finding) for ignore in self.ignores)


def read_selection(
    known: Iterable[str],
    select: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] = (),
    baseline: str | os.PathLike[str] | None = None,
) -> Selection:
    """Read what the user selected.

    Args:
        known: all codes.
        select: codes or beginnings of codes, in a list or joined by commas; None for all.
        ignore: likewise, each with `@PATTERN: REASON` behind it if it holds at some places only.
        baseline: a file written by `write_baseline`.

    Raises:
        UsageError: a code that no rule has, an ignore without a reason, a baseline that cannot be
            read.

    Example:
        >>> read_selection(["NRM101", "ACT101"], select="NRM").codes
        ('NRM101',)
    """
    known, problems = tuple(known), Problems()
    ignores: list[Ignore] = []
    for text in _texts(ignore):
        with problems.collect():
            ignores.append(Ignore.read(text))
    chosen = [text.upper() for text in _texts(select)] if select is not None else [""]
    if select is not None and not chosen:
        problems.add("select='': no rule is selected; leave select out to run all")
    for code in (*chosen, *(each.code for each in ignores)):
        if not any(each.startswith(code) for each in known):
            families = dict.fromkeys(each.rstrip("0123456789") for each in known)
            problems.add(f"there is no rule {code!r}{suggest(code, [*known, *families])}")
    accepted: frozenset[tuple[str, str]] = frozenset()
    with problems.collect():
        accepted = read_baseline(baseline) if baseline is not None else accepted
    problems.raise_if_any()
    everywhere = tuple(each.code for each in ignores if each.where == "*")
    codes = (c for c in known if c.startswith(tuple(chosen)) and not c.startswith(everywhere))
    return Selection(tuple(codes), tuple(i for i in ignores if i.where != "*"), accepted)


def write_baseline(findings: Iterable[Finding], path: str | os.PathLike[str]) -> Path:
    """Write the findings of today into a file, so that only new ones are reported from now on.

    Raises:
        UsageError: the file cannot be written.

    Example:
        >>> found = Finding("ACT101", "dead-units", "warning", "2", None, 0.9, 0.5, "", "", 0.9)
        >>> path = write_baseline([found], "known.json")
        >>> read_selection(["ACT101"], baseline=path).accepts(found)
        True
    """
    places = sorted({(finding.code, finding.where) for finding in findings})
    known = [{"code": code, "where": where} for code, where in places]
    content = {"normwise-baseline": 1, "findings": known}
    return write_text(path, json.dumps(content, indent=1) + "\n")


def read_baseline(path: str | os.PathLike[str]) -> frozenset[tuple[str, str]]:
    """Read what `write_baseline` wrote.

    Raises:
        UsageError: there is no such file, or it holds something else.
    """
    try:
        held = json.loads(Path(path).read_text("utf-8"))
        return frozenset((known["code"], known["where"]) for known in held["findings"])
    except OSError as error:
        raise UsageError(f"cannot read the baseline {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no baseline that normwise wrote") from error


def _texts(given: str | Sequence[str] | None) -> list[str]:
    if given is None:
        return []
    texts = given.split(",") if isinstance(given, str) else given
    return [text.strip() for text in texts if text.strip()]
