import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from normwise.report import study_page

VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}


class Outline(HTMLParser):
    """What the tests ask of a page: ids, attributes, the table's cells; and that tags nest."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.rows, self.errors = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if self.open.pop() != tag:
            self.errors.append(tag)

    def handle_data(self, data):
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data}".strip()


@pytest.fixture(scope="module")
def outline(page):
    return Outline(page)


def cells(outline):
    return [[re.sub(r"\s+", " ", cell) for cell in row] for row in outline.rows]


def test_the_table_shows_the_numbers(outline):
    heading, plain, batch, _, dropout, _ = cells(outline)
    assert heading == [
        "Variant",
        "Test accuracy",
        "Difference",
        "p",
        "Verdict",
        "Training loss",
        "Steps to 0.95",
        "Seconds per run",
    ]
    assert plain == [
        "plain 10 runs",
        "0.9310 [0.9249, 0.9362]",
        "–",
        "–",
        "baseline",
        "0.147",
        "– 40 % arrive",
        "1.2",
    ]
    assert batch == [
        "batch 10 runs",
        "0.9680 [0.9619, 0.9732]",
        "+0.0370 [+0.0298, +0.0438]",
        "0.008",
        "better",
        "0.0529 lower in 10/10",
        "275 100 % arrive −630 [−670, −590] better",
        "1.4",
    ]
    assert dropout[2:5] == ["−0.0030 [−0.0102, +0.0038]", "0.312", "undecided"]


def test_the_answer_comes_first(page, tables):
    assert page.index(tables.verdict) < page.index(tables.notes[0]) < page.index('id="results"')
    for name, fact in tables.facts.items():
        assert f"<dt>{name}</dt><dd>{fact}</dd>" in page


def test_the_page_is_well_formed(edge_page):
    outline = Outline(edge_page)
    assert outline.errors == []
    assert outline.open == []
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    headings = [tag for tag, _ in outline.tags if re.fullmatch(r"h\d", tag)]
    assert headings[0] == "h1"
    assert set(headings[1:]) == {"h2"}
    figures = sum(tag == "figure" for tag, _ in outline.tags)
    assert figures == sum(tag == "figcaption" for tag, _ in outline.tags) > 0
    labels = [attributes.get("aria-label") for tag, attributes in outline.tags if tag == "svg"]
    assert sum(label is not None for label in labels) == figures


def test_nothing_unmeasured_leaks_as_a_word(edge_page):
    body = re.sub(r"<(script|style)>.*?</\1>", "", edge_page, flags=re.S)
    assert not re.search(r"\b(nan|inf|None|Undefined)\b", body)


def test_unbounded_intervals_and_diverged_runs_are_said(shallow):
    summary = shallow.summary.copy()
    summary.loc[1, ["difference_low", "difference_high"]] = [-float("inf"), float("inf")]
    summary.loc[2, "difference_high"] = float("inf")
    summary.loc[3, "diverged"] = 2
    rows = cells(Outline(study_page(replace(shallow, summary=summary))))
    assert rows[2][2] == "+0.0370 (unbounded)"
    assert rows[3][2] == "+0.0280 [+0.0208, +∞]"
    assert rows[4][0] == "dropout=0.2 10 runs, 2 diverged"


def test_wins_are_shown_only_where_there_are_pairs(shallow):
    summary = shallow.summary.copy()
    summary.loc[0, ["train_loss_wins", "pairs"]] = [0, 0]
    summary.loc[1, "train_loss_wins"] = 0
    rows = cells(Outline(study_page(replace(shallow, summary=summary))))
    assert rows[1][5] == "0.147"
    assert rows[2][5] == "0.0529 lower in 0/10"


def test_without_a_target_there_is_no_word_of_it(shallow):
    page = study_page(replace(shallow, target=None))
    assert "Steps to" not in page
    assert "never reach the target" not in page


def test_names_are_escaped_everywhere(tables):
    evil = "<script>alert(1)</script>&\"'"
    swap = {"variant": {"batch": evil}}
    page = study_page(
        replace(
            tables,
            title=evil,
            verdict=evil,
            notes=[evil],
            facts={evil: evil},
            metric=evil,
            summary=tables.summary.replace(swap),
            curves=tables.curves.replace(swap),
            reached=tables.reached.replace(swap),
            layers=tables.layers.replace(swap | {"activation": {"ReLU": evil}}),
            histograms=tables.histograms.replace(swap),
        )
    )
    assert "<script>alert" not in page
    assert len(re.findall("<script>", page)) == 2
    assert Outline(page).errors == []


def test_the_page_refers_to_nothing_outside(page):
    assert not re.search(r"https?:|@import|src=|//\w+\.\w", page)
    assert set(re.findall(r'href="([^"]*)"', page)) - {"data:,"} == set(
        re.findall(r'href="(#figure\d+-\d+)"', page)
    )
    assert "url(" not in re.sub(r"url\(#figure\d+-\d+\)", "", page)


def test_the_same_tables_give_the_same_bytes_and_few_of_them(page, tables):
    assert study_page(tables) == page
    assert len(page.encode()) < 500_000


def test_layers_beyond_the_first_are_folded(edge, edge_page):
    outline = Outline(edge_page)
    folded = sum(tag == "details" for tag, _ in outline.tags)
    assert folded == max(0, len(edge.hidden_layers) - 3)
