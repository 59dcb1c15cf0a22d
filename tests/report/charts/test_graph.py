import pandas as pd
import pytest

from normwise.errors import UsageError
from normwise.report import Graph
from normwise.report.charts.graph import places
from normwise.report.drawing import look


def graph(edges: list[tuple[str, str, float]]) -> Graph:
    nodes = pd.DataFrame(
        {"node": ["a", "b"], "text": ["a", "b = 3a"], "value": [2, 6], "gradient": [3.5, 1]}
    )
    table = pd.DataFrame(edges, columns=pd.Index(["source", "target", "derivative"]))
    return Graph("Triple", "Two nodes.", nodes, table)


def test_everything_is_written_once():
    with look():
        figure = graph([("a", "b", 3)]).draw()
    written = [text.get_text() for text in figure.axes[0].texts]
    assert {"a", "b = 3a", "2", "6", "3.5", "1", "×3"} <= set(written)
    assert len(figure.axes[0].patches) == 2


def test_a_node_stands_right_of_all_that_lead_to_it():
    arrows = [("a", "c"), ("b", "c"), ("b", "d"), ("c", "d")]
    assert places("abcd", arrows) == {"a": (0, 0), "b": (0, 1), "c": (1, 0.5), "d": (2, 0.75)}


def test_impossible_graphs():
    with pytest.raises(UsageError, match=r"\['c'\], which is no node"):
        graph([("a", "c", 1)])
    with pytest.raises(UsageError, match="circle"):
        graph([("a", "b", 1), ("b", "a", 1)])
    with pytest.raises(UsageError, match="edges of a graph has no rows"):
        graph([])
