"""Columns of a table as arrays, whatever the table's own types; an empty table has them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd


def numbers(table: pd.DataFrame, *names: str) -> np.ndarray:
    """Return columns as floats, rows x names; None becomes NaN.

    Example:
        >>> import pandas as pd
        >>> numbers(pd.DataFrame({"step": [0, 5], "loss": [None, 0.5]}), "loss", "step")
        array([[nan, 0. ],
               [0.5, 5. ]])
    """
    if not len(table):
        return np.empty((0, len(names)))
    return np.stack([np.asarray(table[name], dtype=float) for name in names], axis=1)


def words(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column as text.

    Example:
        >>> import pandas as pd
        >>> words(pd.DataFrame({"layer": [1, "fc.2"]}), "layer")
        array(['1', 'fc.2'], dtype='<U4')
    """
    if not len(table):
        return np.empty(0, dtype=str)
    return np.array([str(value) for value in table[name]])
