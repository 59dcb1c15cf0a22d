import copy

import torch
from torch import nn

from normwise.edit import edits, insert_dropout, insert_norm, replace_activation

X = torch.randn(5, 4)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def test_tells_every_edit_in_order():
    net = insert_dropout(replace_activation(insert_norm(mlp(), "batch", X), "tanh", X), 0.5, X)
    norm, dropped = "BatchNorm1d(8) on its output", "which the norm undoes, is dropped"
    assert str(edits(net)) == "\n".join(
        [
            "edit                     where  what",
            f"insert_norm batch        0      {norm} (the bias of 0, {dropped})",
            f"insert_norm batch        2      {norm} (the bias of 2, {dropped})",
            "replace_activation tanh  1      in the place of the relu after 0",
            "replace_activation tanh  3      in the place of the relu after 2",
            "insert_dropout p=0.5     1      Dropout(p=0.5) on the tanh after 0",
            "insert_dropout p=0.5     3      Dropout(p=0.5) on the tanh after 2",
        ]
    )


def test_holds_the_edits_of_parts():
    inner = insert_dropout(mlp(), 0.5, X)
    net = nn.Sequential(nn.Identity(), inner)
    assert [edit.path for edit in edits(net)] == ["1.1", "1.3"]


def test_belongs_to_one_network():
    net = insert_dropout(mlp(), 0.5, X)
    assert str(edits(copy.deepcopy(net))) == str(edits(mlp())) == "no edits"
    assert set(vars(net)) == set(vars(mlp()))
