import copy

import pytest
import torch
from torch import nn

from normwise.edit import edits, grow
from normwise.errors import UsageError

X = torch.randn(64, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 3)
    net = nn.Sequential(*layers).double()
    net[1].running_mean.normal_()
    return net


def loss_of(net: nn.Module) -> torch.Tensor:
    return net(X).square().sum()


def copies(before: torch.Tensor, after: torch.Tensor) -> list[list[int]]:
    """For each unit, where it is now."""
    return [torch.nonzero(after == value).flatten().tolist() for value in before]


# --- copies -------------------------------------------------------------------------------------


def test_net2wider_by_its_formula():
    """Chen et al. 2016, eq. 5: a copy has its original's weights, and is read with w / k."""
    net = mlp()
    before = copy.deepcopy(net)
    grow(net, X, 5)
    where = copies(before[0].bias, net[0].bias)
    assert sum(map(len, where)) == net[0].out_features == net[4].in_features == 11
    assert net[1].num_features == 11
    for unit, places in enumerate(where):
        for place in places:
            assert torch.equal(net[0].weight[place], before[0].weight[unit])
            assert torch.equal(net[1].running_mean[place], before[1].running_mean[unit])
            read = before[4].weight[:, unit] / len(places)
            torch.testing.assert_close(net[4].weight[:, place], read)


def test_the_function_is_the_same_in_both_modes():
    net = mlp()
    before = copy.deepcopy(net)
    grow(net, X, 0.5)
    assert net[0].out_features == 9
    for training in (True, False):
        for network in (net, before):
            network.train(training)
            network[3].eval()
        torch.testing.assert_close(net(X), before(X), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "powers"),
    [
        (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), {"momentum_buffer": 1}),
        (
            lambda p: torch.optim.Adam(p, amsgrad=True),
            {"exp_avg": 1, "exp_avg_sq": 2, "max_exp_avg_sq": 2},
        ),
        (torch.optim.RMSprop, {"square_avg": 2}),
        (lambda p: torch.optim.Adagrad(p, initial_accumulator_value=0.0), {"sum": 2}),
    ],
)
def test_momentum_is_that_of_the_wider_networks_own_gradients(make, powers):
    net = mlp().eval()
    optimizer = make(net.parameters())
    loss_of(net).backward()
    values = [p.detach().clone() for p in net.parameters()]
    optimizer.step()
    for p, value in zip(net.parameters(), values, strict=True):
        p.data.copy_(value)  # so that the wider network meets the same gradients
    grow(net, X, 5, optimizer=optimizer)
    grads = [p.grad.clone() for p in net.parameters()]
    state = copy.deepcopy([optimizer.state[p] for p in net.parameters()])
    fresh = make(net.parameters())
    fresh.zero_grad()
    loss_of(net).backward()
    for p, grad in zip(net.parameters(), grads, strict=True):
        torch.testing.assert_close(grad, p.grad)
    fresh.step()
    for p, followed in zip(net.parameters(), state, strict=True):
        for key in powers:
            torch.testing.assert_close(followed[key], fresh.state[p][key])
    optimizer.step()


def test_copies_stay_equal_without_noise_and_part_with_it():
    for noise, equal in ((None, True), (0.0, True), (0.01, False)):
        net = grow(mlp(), X, 1, noise=noise)
        net.eval()
        optimizer = torch.optim.Adam(net.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(net).backward()
            optimizer.step()
        rows = net[0].weight.detach()
        apart = (rows[:-1] - rows[1:]).abs().sum(1)
        assert bool((apart == 0).any()) == equal


def test_noise_is_relative_and_leaves_originals_alone():
    net = mlp()
    before = copy.deepcopy(net)
    grow(net, X, 5000, noise=0.1, seed=3)
    first = [places[0] for places in copies(before[0].bias, net[0].bias)]
    assert torch.equal(net[0].weight[first], before[0].weight)
    others = torch.ones(5006, dtype=torch.bool)
    others[first] = False
    owner = (net[0].bias[:, None] == before[0].bias).double().argmax(1)
    noise = (net[0].weight - before[0].weight[owner])[others]
    assert noise.std().item() == pytest.approx(0.1 * before[0].weight.std().item(), rel=0.05)


def test_the_seed_decides():
    one, same, other = (grow(mlp(), X, 5, noise=0.1, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one[0].weight, same[0].weight)
    assert not torch.equal(one[0].weight, other[0].weight)


def test_heads_of_attention_stay_and_are_reported():
    net = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    x = torch.randn(2, 3, 8)
    before = net.eval()(x)
    grow(net, x, 4)
    assert net.linear1.out_features == net.linear2.in_features == 20
    torch.testing.assert_close(net(x), before)
    assert {edit.path for edit in edits(net) if edit.done.startswith("left alone")} == {
        *("self_attn", "self_attn.out_proj", "linear2")
    }


# --- units for the worst samples ----------------------------------------------------------------


def xor() -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 1), nn.Flatten(0)).double()
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]).double().repeat(8, 1)
    return net, x, (x[:, 0] != x[:, 1]).double()


def test_new_units_fit_what_the_old_ones_do_not():
    net, x, y = xor()
    loss = nn.MSELoss(reduction="none")
    before, mean = copy.deepcopy(net), loss(net(x), y).mean().item()
    worst = loss(net(x), y).topk(16).indices
    grow(net, x, 4, fit=(x, y), loss=loss, worst=0.5, steps=200, lr=0.05)
    old = [places[0] for places in copies(before[0].bias, net[0].bias)]
    assert torch.equal(net[0].weight[old], before[0].weight)
    assert torch.equal(net[2].weight[:, old], before[2].weight)
    assert torch.equal(net[2].bias, before[2].bias)
    losses = loss(net(x), y)
    assert losses.mean() < 0.9 * mean
    assert losses[worst].mean() < 0.7 * loss(before(x), y)[worst].mean()
    [told] = [edit.done for edit in edits(net) if edit.path == "0"]
    assert told.startswith("2 units -> 6, trained on the 16 worst-fitted samples: their loss ")
    assert told.endswith(f", of all {mean:.4g} -> {losses.mean():.4g}")


def test_new_units_that_would_cost_the_others_too_much_are_toned_down():
    net, x, y = xor()
    y[0] = 50.0  # nothing else matters to the worst sample
    loss = nn.L1Loss(reduction="none")
    others = torch.arange(len(x)) > 0

    def unequal(outputs, targets):
        return loss(outputs, targets) * (1e-3 if len(targets) == len(x) else 1.0)

    before = unequal(net(x), y).mean()
    grow(net, x, 4, fit=(x, y), loss=unequal, worst=0.01, steps=300, lr=0.2)
    assert unequal(net(x), y).mean() <= before * (1 + 1e-9)
    assert others.sum() == 31


def test_fitting_leaves_gradients_modes_and_frozen_parameters_alone():
    net = mlp()
    net[0].bias.requires_grad_(False)
    net[1].eval()
    loss_of(net).backward()
    grad, stats = net[4].bias.grad.clone(), net[1].running_mean.clone()
    frozen = set(net[0].bias.tolist())
    y = torch.zeros(64, dtype=torch.long)
    loss = nn.CrossEntropyLoss(reduction="none")
    grow(net, X, 2, fit=(X, y), loss=loss, steps=5)
    assert torch.equal(net[4].bias.grad, grad)
    assert set(net[1].running_mean.tolist()) == set(stats.tolist())
    assert set(net[0].bias.tolist()) == frozen
    assert [module.training for module in net] == [True, False, True, True, True]
    assert net[0].weight.grad.shape == net[0].weight.shape


# --- refusals -----------------------------------------------------------------------------------


def state(net: nn.Module) -> list:
    tensors = [(n, id(t), t.tolist()) for n, t in net.state_dict(keep_vars=True).items()]
    return [tensors, str(net), [m.training for m in net.modules()], torch.get_rng_state().tolist()]


Y = torch.zeros(64, dtype=torch.long)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"units": 0}, "units=0: give a whole number to add, or a share between 0 and 1"),
        ({"units": 1.5}, "units=1.5: give a whole number"),
        ({"noise": -1.0}, "noise=-1.0: a standard deviation is not negative"),
        ({"fit": (X, Y)}, "fit and loss go together"),
        ({"loss": nn.CrossEntropyLoss()}, "fit and loss go together"),
        ({"fit": X, "loss": nn.CrossEntropyLoss()}, "fit is a pair: inputs and targets"),
        ({"worst": 0.0}, "worst=0.0: the share of samples"),
        ({"where": "4"}, "no units whose number can change. 4: an output of the network"),
        ({"example": X[:, :3]}, "does not run on the example"),
        (
            {"fit": (X, Y), "loss": nn.CrossEntropyLoss()},
            r"loss gives a tensor of shape \(\) for 64 samples: .* reduction=\"none\"",
        ),
        (
            {"fit": (X, Y[:5]), "loss": nn.CrossEntropyLoss(reduction="none")},
            "fit has 64 inputs and 5 targets",
        ),
    ],
)
def test_refusals_change_nothing(arguments, problem):
    net = mlp()
    before = state(net)
    with pytest.raises(UsageError, match=problem):
        grow(net, **{"example": X, "units": 2} | arguments)
    assert state(net) == before
    assert not edits(net)


def test_a_layer_that_reads_and_makes_the_same_units_with_one_weight():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 6)
            self.out = nn.Linear(4, 2)

        def forward(self, x):
            return self.out(torch.relu(self.a(x)) @ self.a.weight)

    with pytest.raises(UsageError, match="there are no units whose number can change"):
        grow(Tied(), X.float(), 2)
