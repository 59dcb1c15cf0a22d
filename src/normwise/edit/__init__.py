"""Change a network: insert norms and dropout, replace activations, draw new initial weights."""

from normwise.edit.activations import ACTIVATIONS, replace_activation
from normwise.edit.dropout import insert_dropout, insert_input_dropout
from normwise.edit.initialize import INITS, initialize
from normwise.edit.norms import NORMS, insert_norm

__all__ = [
    "ACTIVATIONS",
    "INITS",
    "NORMS",
    "initialize",
    "insert_dropout",
    "insert_input_dropout",
    "insert_norm",
    "replace_activation",
]
