"""Change a network: insert norms and dropout, replace activations, draw new initial weights."""

from normwise.edit.activations import ACTIVATIONS, replace_activation
from normwise.edit.drop_path import insert_drop_path
from normwise.edit.dropout import insert_dropout, insert_input_dropout
from normwise.edit.dropout_kinds import DROPOUTS
from normwise.edit.folding import Folded, check_ending, export, fold, load_weights
from normwise.edit.freeze_norm import freeze_norm, unfreeze_norm
from normwise.edit.grow import grow
from normwise.edit.initialize import INITS, initialize
from normwise.edit.log import Edit, Edits, edits
from normwise.edit.mc_predict import mc_predict
from normwise.edit.norms import NORMS, insert_norm
from normwise.edit.prune import prune
from normwise.edit.recalibrate import recalibrate
from normwise.edit.remove_dropout import remove_dropout
from normwise.edit.replace_norm import replace_norm
from normwise.edit.take_weights import Matched, take_weights
from normwise.edit.weights import insert_drop_connect, standardize_weights

__all__ = [
    "ACTIVATIONS",
    "DROPOUTS",
    "INITS",
    "NORMS",
    "Edit",
    "Edits",
    "Folded",
    "Matched",
    "check_ending",
    "edits",
    "export",
    "fold",
    "freeze_norm",
    "grow",
    "initialize",
    "insert_drop_connect",
    "insert_drop_path",
    "insert_dropout",
    "insert_input_dropout",
    "insert_norm",
    "load_weights",
    "mc_predict",
    "prune",
    "recalibrate",
    "remove_dropout",
    "replace_activation",
    "replace_norm",
    "standardize_weights",
    "take_weights",
    "unfreeze_norm",
]
