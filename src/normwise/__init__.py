"""normwise: which normalization and regularization train your PyTorch network best."""

from normwise import data, edit, lab, layers, stats
from normwise.edit import (
    edits,
    fold,
    freeze_norm,
    grow,
    insert_dropout,
    insert_norm,
    mc_predict,
    prune,
    recalibrate,
    remove_dropout,
    replace_norm,
    unfreeze_norm,
)
from normwise.errors import UsageError
from normwise.rules import Finding, check, watch
from normwise.study import Study, Trained, compare, fit

__all__ = [
    "Finding",
    "Study",
    "Trained",
    "UsageError",
    "check",
    "compare",
    "data",
    "edit",
    "edits",
    "fit",
    "fold",
    "freeze_norm",
    "grow",
    "insert_dropout",
    "insert_norm",
    "lab",
    "layers",
    "mc_predict",
    "prune",
    "recalibrate",
    "remove_dropout",
    "replace_norm",
    "stats",
    "unfreeze_norm",
    "watch",
]
