import copy

import pytest
import torch
from torch import nn

from normwise.edit import insert_norm, replace_norm
from normwise.errors import UsageError

X = torch.randn(6, 4)


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))


def held(optimizer: torch.optim.Optimizer, net: nn.Module) -> list[list[str]]:
    names = {p: name for name, p in net.named_parameters()}
    return [[names[p] for p in group["params"]] for group in optimizer.param_groups]


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    net(X).square().sum().backward()
    optimizer.step()


def test_new_parameters_join_their_layers_group_and_dropped_biases_leave():
    net = mlp()
    optimizer = torch.optim.Adam(
        [{"params": net[0].parameters()}, {"params": list(net[2:].parameters()), "lr": 1e-4}]
    )
    step(net, optimizer)
    insert_norm(net, "batch", X, optimizer=optimizer)
    assert held(optimizer, net) == [
        ["0.weight", "0.norm.weight", "0.norm.bias"],
        ["2.weight", "4.weight", "4.bias", "2.norm.weight", "2.norm.bias"],
    ]
    assert set(optimizer.state) <= set(net.parameters())
    before = copy.deepcopy(net.state_dict())
    step(net, optimizer)
    assert not any(torch.equal(p, before[name]) for name, p in net.named_parameters())


def test_scales_that_stay_keep_their_momentum():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    step(net, optimizer)
    weight = net[1].weight
    momentum = optimizer.state[weight]["momentum_buffer"].clone()
    replace_norm(net, "batch", "rms", X, optimizer=optimizer)
    assert net[1].weight is weight
    assert torch.equal(optimizer.state[weight]["momentum_buffer"], momentum)
    assert held(optimizer, net) == [["0.weight", "0.bias", "1.weight", "3.weight", "3.bias"]]
    assert set(optimizer.state) == set(net.parameters())


def test_new_parameters_take_the_group_of_their_name():
    net = nn.Sequential(nn.Conv2d(2, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))
    groups = [{"params": m.parameters()} for m in (net[0], net[3], net[1])]
    optimizer = torch.optim.SGD(groups, 0.1)
    replace_norm(net, "batch", "rms", torch.randn(2, 2, 3, 3), optimizer=optimizer)
    assert net[1].weight.shape == (4, 3, 3)
    assert held(optimizer, net)[2] == ["1.weight"]


def test_what_the_optimizer_never_held_stays_out():
    net = mlp()
    optimizer = torch.optim.SGD(net[2:].parameters(), 0.1)
    insert_norm(net, "layer", X, optimizer=optimizer)
    assert held(optimizer, net)[0][:4] == ["2.weight", "2.bias", "4.weight", "4.bias"]
    assert set(held(optimizer, net)[0][4:]) == {
        f"{layer}.norm.{name}" for layer in (0, 2) for name in ("weight", "bias")
    }


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        ("adam", "optimizer=str: give a torch.optim.Optimizer"),
        (torch.optim.SGD(mlp().parameters(), 0.1), "holds no parameter of this network"),
    ],
)
def test_optimizers_that_cannot_follow(optimizer, text):
    net = mlp()
    before = repr(net)
    with pytest.raises(UsageError, match=text):
        insert_norm(net, "batch", X, optimizer=optimizer)
    assert repr(net) == before


def test_a_refusal_leaves_the_optimizer_alone():
    net = mlp()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    before = held(optimizer, net)
    with pytest.raises(UsageError, match="instance norm needs positions"):
        insert_norm(net, "instance", X, optimizer=optimizer)
    assert held(optimizer, net) == before
