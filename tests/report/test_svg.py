import re
from xml.etree import ElementTree

from normwise.report import drawing, svg
from normwise.report.palette import LIGHT, pens


def make_figure():
    with drawing.look():
        figure = drawing.sheet(200, 100)
        axes = drawing.box(figure, 10, 10, 10, 30)
        pen = pens(["plain", "batch"], "plain")["batch"]
        (line,) = axes.plot([0, 1 / 3, 1], [0, 2, 1], "o-", color=pen.colour)
        drawing.mark(line, pen)
        axes.text(0.123456, 1, "0.123456 <b> $x$ \\frac", color=LIGHT["soft"])
        return figure


def inlined(name="one"):
    with drawing.look():
        return svg.inline(make_figure(), name, 'a "label" & more')


def test_colours_become_the_pages_own():
    text = inlined()
    assert "var(--v1)" in text
    assert "var(--soft)" in text
    assert not re.search(r"(fill|stroke): #", text)


def test_marks_know_their_variant():
    root = ElementTree.fromstring(inlined())
    assert [each.get("data-variant") for each in root.iter() if "data-variant" in each.attrib] == [
        "1"
    ]


def test_ids_are_the_figures_own_and_references_hold():
    root = ElementTree.fromstring(inlined("one"))
    ids = [each.get("id") for each in root.iter() if "id" in each.attrib]
    text = inlined("one")
    assert ids
    assert len(ids) == len(set(ids))
    assert all(each.startswith("one-") for each in ids)
    assert set(re.findall(r'(?:href="|url\()#([\w-]+)', text)) == set(ids)
    assert not set(ids) & set(re.findall(r'id="([\w-]+)"', inlined("two")))


def test_words_stay_words_and_are_escaped():
    text = inlined()
    assert "0.123456 &lt;b&gt; $x$ \\frac" in text
    root = ElementTree.fromstring(text)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'a "label" & more'


def test_coordinates_are_short():
    paths = re.findall(r' d="([^"]*)"', inlined())
    assert paths
    assert not re.search(r"\.\d{3}", "".join(paths))


def test_nothing_refers_outside():
    assert "http" not in inlined()
    with drawing.look():
        document = svg.standalone(make_figure())
    assert set(re.findall(r"https?://[^\"]*", document)) == {svg.NAMESPACE}
    assert LIGHT["v1"] in document
    assert ElementTree.fromstring(document).tag == f"{{{svg.NAMESPACE}}}svg"
