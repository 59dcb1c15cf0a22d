"""Placement by name or predicate: what is chosen gets it, and nothing else."""

import copy

import pytest
import torch
from torch import nn

from normwise.edit import edits, insert_dropout, insert_norm
from normwise.errors import UsageError

X = torch.randn(6, 4, dtype=torch.float64)


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2)
    return nn.Sequential(*layers).double()


def norm(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize("where", ["2", ["2"], lambda path, m: path == "2"])
def test_norm_before_one_activation(where):
    net = mlp()
    twin = copy.deepcopy(net)
    insert_norm(net, "batch", X, where=where)
    expected = twin[4](torch.tanh(norm(twin[2](twin[1](twin[0](X))))))
    torch.testing.assert_close(net(X), expected)
    assert [edit.path for edit in edits(net)] == ["2"]


def test_norm_behind_one_activation():
    net = mlp()
    twin = copy.deepcopy(net)
    insert_norm(net, "batch", X, where="0", placement="after")
    expected = twin[4](torch.tanh(twin[2](norm(twin[1](twin[0](X))))))
    torch.testing.assert_close(net(X), expected)
    [edit] = edits(net)
    assert (edit.edit, edit.path) == ("insert_norm batch:after", "1")


def test_the_head_by_name_and_only_once():
    net = mlp()
    twin = copy.deepcopy(net)
    insert_norm(net, "layer", X, where="4")
    insert_norm(net, "batch", X, where="4")
    torch.testing.assert_close(net(X), norm(twin(X)))
    assert net[4].bias is None
    assert [name for name, _ in net[4].named_children()] == ["norm"]


def test_norms_take_device_and_dtype_of_their_own_layer():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4).double(), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.c(self.b(self.a(x).relu().float()).relu())

    for placement in ("before", "after"):
        net = insert_norm(Mixed(), "batch", X, placement=placement)
        dtypes = [m.weight.dtype for m in net.modules() if isinstance(m, nn.BatchNorm1d)]
        assert dtypes == [torch.float64, torch.float32]
        net = insert_norm(net, "layer", X, placement=placement)  # in the place of those
        dtypes = [m.weight.dtype for m in net.modules() if isinstance(m, nn.LayerNorm)]
        assert dtypes == [torch.float64, torch.float32]
        net(X)


def test_dropout_by_name():
    net = mlp()
    insert_dropout(net, 0.5, X, where="0")
    insert_dropout(net, 0.3, X, where="4")
    insert_dropout(net, 0.2, X, where="4")
    drops = {path: m.p for path, m in net.named_modules() if isinstance(m, nn.Dropout)}
    assert drops == {"1.dropout": 0.5, "4.dropout": 0.2}
    assert [edit.done for edit in edits(net)] == [
        "Dropout(p=0.5) on the relu after 0",
        "Dropout(p=0.3) on its output",
        "p=0.2, which was 0.3",
    ]


def test_refusals():
    for edit in (insert_norm, insert_dropout):
        net = mlp()
        before = repr(net)
        value = "batch" if edit is insert_norm else 0.5
        with pytest.raises(UsageError, match="where='fc' matches no Linear or convolution: there"):
            edit(net, value, X, where="fc")
        with pytest.raises(UsageError, match=r"does not run on the example of shape \(6, 3\)"):
            edit(net, value, X[:, :3])
        with pytest.raises(UsageError, match="example holds no tensor with values"):
            edit(net, value, X.tolist())
        assert repr(net) == before
    with pytest.raises(UsageError, match=r"4 feeds no activation.*placement='before' puts it"):
        insert_norm(mlp(), "batch", X, where="4", placement="after")


def test_a_forward_that_reads_the_bias_keeps_it():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4).double(), nn.Linear(4, 2).double()

        def forward(self, x):
            return self.b(self.a(x).relu() + self.a.bias)

    net = Reads()
    before = net(X)
    with pytest.raises(UsageError, match="after this edit the network does not run"):
        insert_norm(net, "batch", X)
    assert torch.equal(net(X), before)
    assert not edits(net)
