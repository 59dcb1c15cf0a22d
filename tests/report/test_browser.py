"""The page in a real browser: what only layout, colours and scripts can show."""

import re

import pytest


@pytest.mark.parametrize("width", [1280, 400])
def test_every_figure_shows_and_the_page_never_scrolls_sideways(visit, width):
    tab = visit(width)
    figures = tab.locator("figure.plot")
    assert figures.count() == 6
    for place in range(6):
        box = figures.nth(place).locator("svg").bounding_box()
        assert box["width"] > 300
        assert box["height"] > 100
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", [1280, 400])
def test_text_in_figures_can_be_read(visit, width):
    smallest = visit(width).evaluate(
        """Math.min(...[...document.querySelectorAll(".plot text")].map((text) =>
          parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))"""
    )
    assert smallest >= 7.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_contrast(visit, scheme, lowest_contrast):
    contrast, where = visit(scheme=scheme).evaluate(lowest_contrast)
    assert contrast >= 4.5, where


def background(tab):
    return tab.evaluate("getComputedStyle(document.body).backgroundColor")


def test_the_theme_follows_the_system_and_then_the_reader(visit):
    light, dark = background(visit(scheme="light")), background(visit(scheme="dark"))
    assert light != dark
    tab = visit(scheme="light")
    tab.get_by_role("button", name="Dark").click()
    assert background(tab) == dark
    tab.get_by_role("button", name="Light").click()
    assert background(tab) == light


def test_figures_follow_the_theme(visit):
    def stroke(tab):
        return tab.evaluate(
            """getComputedStyle(document.querySelector('#metric [data-variant="1"] path')).stroke"""
        )

    assert stroke(visit(scheme="light")) != stroke(visit(scheme="dark"))


def test_on_paper_the_page_is_light_and_everything_is_unfolded(visit):
    tab = visit(width=720, scheme="dark")
    tab.emulate_media(media="print", color_scheme="dark")
    assert background(tab) == "rgb(255, 255, 255)"
    assert not tab.locator(".theme").is_visible()
    assert tab.locator("table.results thead").bounding_box()["height"] > 10
    assert tab.evaluate("document.documentElement.scrollWidth") <= 720


def test_without_scripts_all_is_there(visit):
    tab = visit(script=False)
    assert tab.locator("figure.plot svg").count() == 6
    assert not tab.locator(".theme").is_visible()
    assert tab.locator(".results tbody tr").count() == 5


def test_a_variant_pointed_at_stands_out_everywhere(visit):
    tab = visit()
    tab.locator('.legend [data-variant="1"]').hover()
    lit = tab.locator("#reached [data-variant].lit")
    assert set(lit.evaluate_all("marks => marks.map((m) => m.dataset.variant)")) == {"1"}
    assert tab.locator("html.focused").count() == 1
    tab.locator("h1").hover()
    assert tab.locator("html.focused").count() == 0


def test_a_pinned_variant_stays(visit):
    tab = visit()
    button = tab.get_by_role("button", name=re.compile("^layer"))
    button.click()
    tab.locator("h1").hover()
    assert button.get_attribute("aria-pressed") == "true"
    assert tab.locator("#metric .lit").count() > 0
    button.click()
    tab.locator("h1").hover()
    assert tab.locator(".lit").count() == 0


def test_the_table_sorts_and_comes_back(visit):
    tab = visit()

    def order():
        return tab.locator(".results tbody .name").all_inner_texts()

    original = order()
    button = tab.get_by_role("button", name="Training loss")
    button.click()
    assert order() == ["batch", "batch+dropout=0.2", "layer", "plain", "dropout=0.2"]
    button.click()
    assert order() == ["dropout=0.2", "plain", "layer", "batch+dropout=0.2", "batch"]
    button.click()
    assert order() == original
    difference = tab.get_by_role("button", name="Difference")
    for _ in range(2):
        difference.click()
        assert order()[-1] == "plain"  # not measured: last either way
