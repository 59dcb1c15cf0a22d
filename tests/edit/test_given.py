"""Every edit refuses what is no network, before anything else."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import normwise as nw
from normwise import edit
from normwise.errors import UsageError

X = torch.zeros(2, 3)

EDITS: dict[str, Callable[[Any], Any]] = {
    "fold": lambda net: nw.fold(net, X),
    "freeze_norm": lambda net: nw.freeze_norm(net),
    "grow": lambda net: nw.grow(net, X, 2),
    "initialize": lambda net: edit.initialize(net, "he", generator=torch.Generator()),
    "insert_drop_path": lambda net: edit.insert_drop_path(net, 0.1, X),
    "insert_dropout": lambda net: nw.insert_dropout(net, 0.1, X),
    "insert_input_dropout": lambda net: edit.insert_input_dropout(net, 0.1, X),
    "insert_norm": lambda net: nw.insert_norm(net, "batch", X),
    "mc_predict": lambda net: nw.mc_predict(net, X),
    "prune": lambda net: nw.prune(net, X),
    "recalibrate": lambda net: nw.recalibrate(net, [X]),
    "remove_dropout": lambda net: nw.remove_dropout(net, X),
    "replace_activation": lambda net: edit.replace_activation(net, "relu", X),
    "replace_norm": lambda net: nw.replace_norm(net, "layer", X),
    "take_weights": lambda net: edit.take_weights(net, nn.Linear(3, 2)),
    "unfreeze_norm": lambda net: nw.unfreeze_norm(net),
}


@pytest.mark.parametrize("call", EDITS.values(), ids=EDITS)
def test_it_says_what_was_given(call: Callable[[Any], Any]):
    with pytest.raises(UsageError, match=r"^network is a str: give an nn\.Module$"):
        call("net")
    with pytest.raises(UsageError, match=r"network is the class Linear: build one, as in Linear"):
        call(nn.Linear)
