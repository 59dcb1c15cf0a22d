"""Every colour of a report, for paper and for dark, and which variant wears which.

The variants' hues follow Okabe and Ito ("Color Universal Design", 2008), darkened or lightened
until text in them is readable (contrast 4.5 on both grounds) and dichromats tell them apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from normwise.report.wording import shorten

THEME: dict[str, tuple[str, str]] = {  # name: (light, dark)
    "paper": ("#ffffff", "#15181c"),
    "panel": ("#f6f7f8", "#1c2025"),
    "ink": ("#1b1f24", "#e6e9ec"),
    "soft": ("#5a636d", "#a4aeb9"),
    "rule": ("#d5dadf", "#373e46"),
    "grid": ("#ebedf0", "#282d34"),
    "better": ("#0b7265", "#4fd1bd"),
    "worse": ("#b3261e", "#ff8d84"),
    "equivalent": ("#44546a", "#b3c3d6"),
    "undecided": ("#6d6355", "#c2b8a8"),
    "v0": ("#686c73", "#9ea6ab"),
    "v1": ("#0063c5", "#3b9dff"),
    "v2": ("#a33100", "#f06a4a"),
    "v3": ("#00804f", "#5be29a"),
    "v4": ("#93106f", "#ffb3f3"),
    "v5": ("#837300", "#d0bd1c"),
    "v6": ("#3d2fa8", "#aca4fb"),
    "v7": ("#007fa3", "#10bcdb"),
}
LIGHT = {name: light for name, (light, _) in THEME.items()}
DASHES = ((), (5.0, 2.0), (1.5, 1.5), (6.0, 2.0, 1.5, 2.0))
COLOURS = 7  # beside the baseline's grey


@dataclass(frozen=True)
class Pen:
    """How one variant is drawn, the same in every figure of a report.

    Attributes:
        index: the variant's place in the summary.
        name: the variant.
        label: its name, short enough for a figure.
        token: the colour's name in `THEME`.
        dashes: lengths of dash and gap in line widths; empty for a solid line.
    """

    index: int
    name: str
    label: str
    token: str
    dashes: tuple[float, ...]

    @property
    def colour(self) -> str:
        """The colour on paper."""
        return LIGHT[self.token]


def pens(variants: Sequence[str], baseline: str) -> dict[str, Pen]:
    """Give the baseline a neutral grey and the others a colour each, then dashes as well.

    Example:
        >>> pens(["plain", "batch"], baseline="plain")["batch"].token
        'v1'
    """
    others = [name for name in variants if name != baseline]
    named = labels(variants)
    chosen = {}
    for index, name in enumerate(variants):
        if name == baseline:
            chosen[name] = Pen(index, name, named[name], "v0", DASHES[0])
        else:
            lap, colour = divmod(others.index(name), COLOURS)
            dashes = DASHES[lap % len(DASHES)]
            chosen[name] = Pen(index, name, named[name], f"v{1 + colour}", dashes)
    return chosen


def labels(variants: Sequence[str]) -> dict[str, str]:
    """Shorten names; where that makes some alike, leave out the parts that these share.

    Example:
        >>> labels(["plain", "batch:after+lr=2x+wd=1e-4", "batch:after+lr=5x+wd=1e-4"])
        {'plain': 'plain', 'batch:after+lr=2x+wd=1e-4': '…lr=2x', \
'batch:after+lr=5x+wd=1e-4': '…lr=5x'}
    """
    short = {name: shorten(name) for name in variants}
    for label in set(short.values()):
        alike = [name for name in variants if short[name] == label]
        if len(alike) > 1:
            shared = set.intersection(*(set(name.split("+")) for name in alike))
            for name in alike:
                own = [part for part in name.split("+") if part not in shared]
                short[name] = shorten("…" + "+".join(own))
    return short
