import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.edit import ACTIVATIONS, insert_dropout, insert_norm, replace_activation
from normwise.errors import UsageError

X = torch.randn(6, 4)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 2)
        self.act = nn.ReLU()

    def forward(self, x):
        x = F.relu(self.a(x), inplace=True)
        return torch.sigmoid(self.head(self.act(self.b(x))))


def sequential() -> nn.Sequential:
    layers = nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5), nn.SELU(), nn.Linear(5, 2)
    return nn.Sequential(*layers, nn.Sigmoid())


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("make", [sequential, Functional])
def test_equals_the_formula_with_torchs_function(make, name):
    net = make()
    a, b, head = (m for m in net.modules() if isinstance(m, nn.Linear))
    assert replace_activation(net, name, X) is net
    function = getattr(F, name)
    torch.testing.assert_close(net(X), torch.sigmoid(head(function(b(function(a(X)))))))


def test_a_module_under_two_names_is_replaced_where_it_is_used():
    net = nn.ModuleDict()
    net["act"] = nn.ReLU()
    net["body"] = nn.Sequential(nn.Linear(4, 5), net["act"], nn.Linear(5, 2))
    net.forward = net["body"].forward
    replace_activation(net, "tanh", X)
    body = net["body"]
    torch.testing.assert_close(net(X), body[2](torch.tanh(body[0](X))))


@pytest.mark.parametrize("make", [sequential, Functional])
def test_what_an_activation_hosts_stays(make):
    torch.manual_seed(0)
    net = insert_dropout(insert_norm(make(), "layer", X, placement="after"), 0.0, X)
    a, b, head = (m for m in net.modules() if isinstance(m, nn.Linear))
    replace_activation(net, "tanh", X)

    def hidden(x):
        return F.layer_norm(torch.tanh(x), (5,))

    torch.testing.assert_close(net(X), torch.sigmoid(head(hidden(b(hidden(a(X)))))))
    assert sum(isinstance(m, nn.Dropout) for m in net.modules()) == 2


def test_modes_stay():
    net = replace_activation(sequential().eval(), "elu", X)
    assert not any(m.training for m in net.modules())


def test_unknown_names_and_networks_without_place():
    with pytest.raises(UsageError, match=r"unknown activation 'rellu' \(did you mean 'relu'\?\)"):
        replace_activation(sequential(), "rellu", X)
    with pytest.raises(UsageError, match="no place for act=relu"):
        replace_activation(nn.Sequential(nn.Linear(4, 2), nn.Sigmoid()), "relu", X)


def test_the_same_activation_changes_nothing():
    net = Functional()
    twin = copy.deepcopy(net)
    assert torch.equal(replace_activation(net, "relu", X)(X), twin(X))
