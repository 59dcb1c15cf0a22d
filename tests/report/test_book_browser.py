"""The lab's book in a real browser."""

import pytest

import normwise as nw
from normwise.lab.book import book
from normwise.report import book_page

NAMES = ["bn-identity", "ln-axes", "backprop-walk"]


@pytest.fixture(scope="module")
def page() -> str:
    return book_page(book(list(nw.lab.run_all(NAMES))))


@pytest.mark.parametrize("width", [1280, 400])
def test_the_page_never_scrolls_sideways_and_figures_show(visit, width):
    tab = visit(width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    figures = tab.locator("figure.plot svg")
    assert figures.count() >= len(NAMES)
    for place in range(figures.count()):
        assert figures.nth(place).bounding_box()["height"] > 100
    for formula in tab.locator("svg.formula").all():
        assert formula.bounding_box()["width"] > 40


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(visit, scheme, lowest_contrast):
    contrast, where = visit(scheme=scheme).evaluate(lowest_contrast)
    assert contrast >= 4.5, where


def test_formulas_have_the_colour_of_the_text(visit):
    for scheme in ("light", "dark"):
        tab = visit(scheme=scheme)
        ink, drawn = tab.evaluate(
            """[getComputedStyle(document.body).color,
                getComputedStyle(document.querySelector("svg.formula path")).fill]"""
        )
        assert ink == drawn


def test_the_contents_lead_to_the_chapter(visit):
    tab = visit()
    tab.locator(".contents a[href='#ln-axes']").click()
    top = tab.evaluate("document.getElementById('ln-axes').getBoundingClientRect().top")
    assert abs(top) < 60


def test_a_variant_stands_out_in_its_own_chapter_only(visit):
    tab = visit()
    tab.locator("#ln-axes svg [data-variant='0']").first.hover()
    focused = tab.evaluate("[...document.querySelectorAll('.focused')].map((each) => each.id)")
    assert focused == ["ln-axes"]


def test_it_reads_without_script(visit):
    tab = visit(script=False)
    assert tab.locator("article.chapter").count() == len(NAMES)
    tab.locator("#bn-identity details summary").click()
    assert tab.locator("#bn-identity pre").first.is_visible()
