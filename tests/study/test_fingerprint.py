import pytest
import torch
from torch import nn

from normwise.study.fingerprint import fingerprint

X = torch.linspace(-1, 1, 24).view(8, 3)


class Net(nn.Module):
    def __init__(self, p=0.5, function=torch.relu, kind=nn.BatchNorm1d):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Linear(3, 4), kind(4)
        self.dropout, self.last = nn.Dropout(0.1), nn.Linear(4, 2)
        self.p, self.function = p, function

    def forward(self, x):
        hidden = self.function(self.norm(self.first(x)))
        return self.last(self.dropout(nn.functional.dropout(hidden, self.p, self.training)))


def test_the_same_network_has_the_same_mark_whatever_torchs_state():
    marks = set()
    for seed in range(3):
        network = Net()
        torch.manual_seed(seed)
        marks.add(fingerprint(network, X))
    assert len(marks) == 1
    assert len(marks.pop()) == 16


def change(part):
    network = Net()
    part(network)
    return network


@pytest.mark.parametrize(
    "other",
    [
        lambda: Net(p=0.4),
        lambda: Net(function=torch.tanh),
        lambda: Net(kind=nn.Identity),
        lambda: change(lambda n: setattr(n.dropout, "p", 0.2)),
        lambda: change(lambda n: setattr(n.norm, "momentum", 0.2)),
        lambda: change(lambda n: n.norm.running_mean.add_(1)),
        lambda: change(lambda n: nn.init.zeros_(n.last.bias)),
        lambda: Net().double(),
        lambda: change(lambda n: n.register_buffer("extra", torch.zeros(1), persistent=False)),
    ],
    ids=[
        "functional dropout",
        "function",
        "kind of layer",
        "dropout module",
        "momentum",
        "buffer",
        "weights",
        "dtype",
        "new buffer",
    ],
)
def test_any_change_shows(other):
    network = other()
    x = X.to(network.last.weight.dtype)
    assert fingerprint(network, x) != fingerprint(Net(), X)


def test_the_network_is_left_as_it_was():
    network = Net().eval()
    network.dropout.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    fingerprint(network, X)
    assert not network.training
    assert network.dropout.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64, torch.complex64])
def test_unusual_types_and_empty_tensors(kind: torch.dtype):
    network = nn.Linear(3, 2)
    network.register_buffer("odd", torch.ones(2, dtype=kind))
    network.register_buffer("flag", torch.tensor(True))
    network.register_buffer("empty", torch.empty(0, 3))
    before = fingerprint(network, X)
    network.odd[1] = 0
    assert fingerprint(network, X) != before
