import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise import layers
from normwise.edit import edits, insert_dropout, insert_input_dropout, remove_dropout
from normwise.errors import UsageError

X = torch.randn(4, 5, 8)


class Attention(nn.Module):
    """Every way to call dropout as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.p = nn.Linear(8, 24), nn.Linear(8, 8), 0.3
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        p = self.p if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, None, p)
        y = y + F.scaled_dot_product_attention(q, k, v, dropout_p=p)
        y = F.dropout(self.out(y), p=self.p, training=self.training)
        return x + self.drop(F.alpha_dropout(input=y, p=0.1, training=self.training))


def everything() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        Attention(),
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        layers.drop_connect(nn.Linear(8, 8)),
        nn.ReLU(),
        layers.LockedDropout(0.2),
        nn.Linear(8, 3),
    )


def test_training_becomes_evaluation():
    net = insert_input_dropout(insert_dropout(everything(), 0.4, X), 0.2, X)
    names, twin = list(net.state_dict()), copy.deepcopy(net)
    assert remove_dropout(net, X) is net
    assert list(net.state_dict()) == names
    assert torch.equal(net.eval()(X), twin.eval()(X))
    torch.testing.assert_close(net.train()(X), twin.eval()(X))
    assert torch.equal(net(X), net(X))


def test_recurrent_dropout():
    net = nn.LSTM(4, 4, 2, dropout=0.5)
    twin = copy.deepcopy(net).eval()
    x = torch.randn(3, 2, 4)
    remove_dropout(net, x)
    assert net.dropout == 0.0
    assert torch.equal(net.train()(x)[0], twin(x)[0])


def test_undoes_insertion_without_a_trace():
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    before = repr(net), [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net]
    insert_input_dropout(insert_dropout(net, 0.5, X), 0.5, X)
    remove_dropout(net, X)
    assert (repr(net), [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net]) == before


def test_where_and_the_record():
    net = everything()
    remove_dropout(net, X, where=["0", "4", "1.self_attn"])
    assert [(e.path, e.done) for e in edits(net)] == [
        ("1.self_attn", "its dropout of 0.1 set to 0"),
        ("4", "LockedDropout(p=0.2) removed"),
        ("0", "4 calls of dropout in its forward removed"),
    ]
    assert net[0].drop.p == 0.1
    torch.manual_seed(0)
    assert not torch.equal(net(X), net(X))


def test_a_shared_dropout_goes_everywhere():
    drop = nn.Dropout()
    net = nn.Sequential(nn.Linear(8, 8), drop, nn.Linear(8, 8), drop)
    remove_dropout(net, X)
    assert isinstance(net[1], nn.Identity)
    assert net[1] is net[3]


def test_a_dropout_whose_p_is_read():
    class Reads(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.drop = nn.Linear(8, 8), nn.Dropout(0.5)

        def forward(self, x):
            if x.sum() > -1e9:  # so that no rewriting would do
                x = F.dropout(x, self.drop.p, self.training)
            p = self.drop.p if self.training else 0.0
            return F.scaled_dot_product_attention(x, x, self.fc(x), dropout_p=p)

    net = remove_dropout(Reads(), X)
    assert [edit.done for edit in edits(net)] == ["p of Dropout(p=0.5) set to 0"]
    assert torch.equal(net(X), net.eval()(X))


# --- refusals -----------------------------------------------------------------------------------


def refuse(net: nn.Module, text: str, **options) -> None:
    before = [(p, id(m), type(m), str(m), sorted(vars(m))) for p, m in net.named_modules()]
    with pytest.raises(UsageError, match=text):
        remove_dropout(net, X, **options)
    after = [(p, id(m), type(m), str(m), sorted(vars(m))) for p, m in net.named_modules()]
    assert after == before
    assert not edits(net)


def test_nothing_to_remove():
    refuse(nn.Linear(8, 2), "no dropout, neither as a module nor as a function")
    refuse(nn.Dropout(), "the network is itself a Dropout")
    refuse(everything(), "where='9' matches no dropout", where="9")


def test_classic_scaling():
    drop = layers.Dropout(0.25, scaling="classic")
    refuse(nn.Sequential(nn.Linear(8, 8), drop), "multiplies by 0.75 in evaluation")


def test_dropout_that_is_active_in_evaluation_too():
    class MonteCarlo(nn.Dropout):
        def forward(self, x):
            return F.dropout(x, self.p, training=True)

    refuse(nn.Sequential(nn.Linear(8, 8), MonteCarlo()), "would give other outputs in evaluation")


def test_a_forward_that_cannot_be_traced():
    class Data(nn.Module):
        def forward(self, x):
            return F.dropout(x, 0.5, self.training) if x.sum() > -1e9 else x

    net = nn.Sequential(nn.Dropout(), Data(), nn.Linear(8, 8), nn.Dropout())
    refuse(net, r"Data.forward \(at 1\) calls dropout as a function, and cannot be rewritten")
    remove_dropout(net, X, where=["0", "3"])
    assert isinstance(net[3], nn.Identity)


def test_an_example_of_the_wrong_shape():
    with pytest.raises(UsageError, match=r"does not run on the example of shape \(4, 7\)"):
        remove_dropout(everything(), torch.randn(4, 7))
    with pytest.raises(UsageError, match="example holds no tensor with values"):
        remove_dropout(everything(), [1.0])
