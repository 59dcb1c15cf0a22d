import re
from xml.etree import ElementTree

import pytest

from normwise.report.formulas import formula_svg


@pytest.mark.parametrize("latex", [r"\frac{a}{\sqrt{b}}", r"\sum_{i=1}^m x_i < 1", r"\text{für }γ"])
def test_a_formula_is_a_drawing_that_needs_nothing(latex: str):
    drawn = formula_svg(latex)
    root = ElementTree.fromstring(drawn)
    assert root.attrib["aria-label"] == latex
    assert root.attrib["role"] == "img"
    assert "<text" not in drawn, "letters are shapes, so no font is needed"
    assert not re.search(r'\b(id|href|xlink:href)="', drawn)
    assert 'fill="currentColor"' in drawn


def test_a_longer_formula_is_wider():
    def width(latex: str) -> float:
        return float(ElementTree.fromstring(formula_svg(latex)).attrib["width"])

    assert width("x + y + z") > width("x + y") > width("x")
