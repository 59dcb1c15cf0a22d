import numpy as np
import pandas as pd

from normwise.report.columns import numbers, words


def test_numbers_come_from_any_type():
    table = pd.DataFrame({"a": pd.Series([1, None], dtype=object), "b": [1, 2.5]})
    assert np.array_equal(numbers(table, "b", "a"), [[1, 1], [2.5, np.nan]], equal_nan=True)


def test_an_empty_table_has_every_column():
    assert numbers(pd.DataFrame(), "a", "b").shape == (0, 2)
    assert words(pd.DataFrame(), "layer").tolist() == []


def test_words_are_text_even_where_the_table_holds_numbers():
    assert words(pd.DataFrame({"layer": [1, 3]}), "layer").tolist() == ["1", "3"]
