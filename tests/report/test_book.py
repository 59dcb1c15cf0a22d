import re
from dataclasses import replace

import pandas as pd
import pytest

from normwise.report import BookTables, Chapter, Correction, Lines, book_page, save_plans

CURVE = pd.DataFrame({"series": "a<b", "x": [0.0, 1.0], "y": [0.0, 1.0]})
CHAPTER = Chapter(
    name="bn-speed",
    family="Batch normalization",
    statement="It is <fast>.",
    verdict="holds",
    source="Ioffe & Szegedy (2015)",
    formula=[r"\hat x = 1", "y = x"],
    experiment="Train it.",
    measured="The loss.",
    criterion="Holds where it is lower.",
    refuted_by="A higher loss.",
    header=["", "loss"],
    rows=[[("plain", ""), ("0.5 nats", "[0.4, 0.6]")]],
    notes=["Mind the gap."],
    corrections=[Correction(3, "1 = 2", "One is not two.", "1 = 1")],
    figures=[Lines("Loss", "It falls.", "step", "loss", CURVE)],
    code={"In a terminal": "normwise lab run bn-speed"},
    seconds=1.25,
    setting="digits, seeds 0 to 9",
)
OTHER = replace(CHAPTER, name="init-zero", family="Initialization", verdict="fails", corrections=[])
BOOK = BookTables("The lab", "1 of 2 claims holds.", [], {"data": "digits"}, [CHAPTER, OTHER])


@pytest.fixture(scope="module")
def page() -> str:
    return book_page(BOOK)


def test_the_page_holds_everything_that_is_told(page: str):
    for field in ("source", "experiment", "measured", "criterion", "refuted_by", "setting"):
        assert page.count(getattr(CHAPTER, field).replace("&", "&amp;")) == 2, field
    assert "It is &lt;fast&gt;." in page
    assert "<fast>" not in page
    for text in ("0.5 nats", "[0.4, 0.6]", "Mind the gap.", "It falls."):
        assert page.count(text) >= 2, text
    assert page.count("One is not two.") == 1
    assert len(re.findall('<svg class="formula"', page)) == 4
    assert "1.2 s" in page


def test_the_contents_link_to_every_chapter(page: str):
    targets = set(re.findall(r'<a href="#([^"]+)"', page))
    assert targets == {"bn-speed", "init-zero"}
    for target in targets:
        assert len(re.findall(f'id="{target}"', page)) == 1
    headings = re.findall(r'<h2 id="family\d">([^<]*)</h2>', page)
    assert headings == ["Batch normalization", "Initialization"]


def test_ids_are_unique_and_nothing_is_fetched(page: str):
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert not re.search(r'(src|href)="(?!#|data:)', page)


def test_the_same_tables_give_the_same_page(page: str):
    assert book_page(BOOK) == page


def test_figures_are_saved_under_their_claims_names(tmp_path):
    paths = save_plans(BOOK.plans(), tmp_path / "figures")
    names = [path.name for path in paths]
    assert names == ["bn-speed-1.svg", "bn-speed-1.png", "init-zero-1.svg", "init-zero-1.png"]
    assert paths[0].read_text().startswith("<svg")
    assert paths[1].read_bytes().startswith(b"\x89PNG")
