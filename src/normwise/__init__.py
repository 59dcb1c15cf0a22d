"""normwise: which normalization and regularization train your PyTorch network best."""

from normwise import data, edit, stats
from normwise.edit import insert_dropout, insert_norm
from normwise.errors import UsageError
from normwise.study import Study, compare

__all__ = [
    "Study",
    "UsageError",
    "compare",
    "data",
    "edit",
    "insert_dropout",
    "insert_norm",
    "stats",
]
