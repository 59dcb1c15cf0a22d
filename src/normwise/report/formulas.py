"""Formulas as drawings that need no script, no font and no network."""

from __future__ import annotations

import html
import re
from functools import cache

_SIZE = 19  # of the letters, in pixels
_LONG = re.compile(r"-?\d+\.\d{2,}")


@cache
def formula_svg(latex: str) -> str:
    """Draw a formula as an SVG element in the colour of the text around it.

    Args:
        latex: of one line, in math mode.

    Returns:
        The element; its label for readers who cannot see it is the LaTeX itself.

    Raises:
        Exception: what the LaTeX parser raises where it does not understand it.

    Example:
        >>> drawn = formula_svg(r"x^2 < 1")
        >>> drawn.startswith("<svg"), 'aria-label="x^2 &lt; 1"' in drawn
        (True, True)
    """
    from ziamath.config import config
    from ziamath.zmath import Latex

    config.svg2 = False  # no ids, which would clash on a page of many formulas
    drawn = Latex(latex, size=_SIZE, color="currentColor").svg()
    drawn = _LONG.sub(lambda match: f"{float(match[0]):.1f}", drawn)
    label = html.escape(latex, quote=True)
    return drawn.replace("<svg ", f'<svg class="formula" role="img" aria-label="{label}" ', 1)
