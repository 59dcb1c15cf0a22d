import math

import pytest
import torch
from torch import nn

from normwise.edit import INITS, initialize
from normwise.errors import UsageError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(8, 40, 3), nn.BatchNorm2d(40), nn.ReLU(), nn.Conv2d(40, 60, 3, groups=4)
    ).append(nn.Linear(300, 200))


FANS = {0: (8 * 9, 40 * 9), 3: (10 * 9, 60 * 9), 4: (300, 200)}


@pytest.mark.parametrize(
    ("init", "std", "variance"),
    [
        ("he", None, lambda fan_in, fan_out: 2 / fan_in),
        ("xavier", None, lambda fan_in, fan_out: 2 / (fan_in + fan_out)),
        ("normal", 0.3, lambda fan_in, fan_out: 0.09),
    ],
)
def test_mean_and_variance_are_the_formulas(init, std, variance):
    net = initialize(network(), init, std=std, generator=seeded())
    for index, fans in FANS.items():
        weight, expected = net[index].weight.double(), variance(*fans)
        n = weight.numel()
        assert abs(weight.mean().item()) < 5 * math.sqrt(expected / n)
        # the variance of a sample variance: 2σ⁴/n for a normal, 0.8σ⁴/n for a uniform
        assert abs(weight.var().item() / expected - 1) < 5 * math.sqrt(2 / n)
        assert net[index].bias.abs().sum() == 0


def test_xavier_is_uniform_and_he_normal():
    weight = initialize(nn.Linear(300, 200), "xavier", generator=seeded()).weight
    bound = math.sqrt(6 / 500)
    assert 0.99 * bound < weight.abs().max() <= bound
    he = initialize(nn.Linear(300, 200), "he", generator=seeded()).weight
    within = (he.abs() < math.sqrt(2 / 300)).double().mean().item()
    assert abs(within - math.erf(1 / math.sqrt(2))) < 5 * 0.47 / math.sqrt(60000)


def test_zero():
    net = initialize(network(), "zero", generator=seeded())
    assert all(net[i].weight.abs().sum() == net[i].bias.abs().sum() == 0 for i in FANS)
    assert net[1].weight.sum() == 40  # norms stay


@pytest.mark.parametrize("init", INITS)
def test_the_generator_alone_decides(init):
    def drawn(seed: int, state: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
        torch.manual_seed(state)
        net = initialize(network().to(dtype), init, std=1.0, generator=seeded(seed))
        return [net[index].weight.float() for index in FANS]

    before = torch.get_rng_state()
    initialize(nn.Identity(), init, std=1.0, generator=seeded())
    assert torch.equal(torch.get_rng_state(), before)
    one = drawn(0, state=1)
    for same in (drawn(0, state=2), drawn(0, state=1, dtype=torch.float64)):
        assert all(map(torch.equal, one, same))
    assert init == "zero" or not any(map(torch.equal, one, drawn(1, state=1)))


def test_tied_weights_are_drawn_once():
    def make(tied: bool) -> nn.Sequential:
        net = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5))
        if tied:
            net[1].weight = net[0].weight
        return initialize(net, "he", generator=seeded())

    tied, free = make(True), make(False)
    assert tied[1].weight is tied[0].weight
    assert torch.equal(tied[0].weight, free[0].weight)
    assert torch.equal(tied[2].weight, free[1].weight)  # the second draw, not the third
    assert all(layer.bias.abs().sum() == 0 for layer in tied)


def test_gradients_and_identity_of_parameters_stay():
    layer = nn.Linear(3, 3)
    weight = layer.weight
    initialize(layer, "he", generator=seeded())
    assert layer.weight is weight
    assert weight.requires_grad
    assert weight.is_leaf


@pytest.mark.parametrize("std", [None, 0.0, -1.0, float("nan")])
def test_a_normal_needs_a_positive_std(std):
    with pytest.raises(UsageError, match="a standard deviation is positive"):
        initialize(nn.Linear(2, 2), "normal", std=std, generator=seeded())


def test_unknown_names():
    with pytest.raises(UsageError, match=r"unknown init 'xaver' \(did you mean 'xavier'\?\)"):
        initialize(nn.Linear(2, 2), "xaver", generator=seeded())


def test_weights_that_cannot_be_drawn_are_all_named_and_nothing_is_drawn():
    net = nn.Sequential(
        nn.Linear(3, 3), nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)), nn.LazyLinear(2)
    )
    before = net[0].weight.clone()
    with pytest.raises(UsageError) as caught:
        initialize(net, "he", generator=seeded())
    first, second = caught.value.problems
    assert first.startswith("init=he: the weight of 1 is computed from others")
    assert second.startswith("init=he: the weight of 2 has no shape yet")
    assert torch.equal(net[0].weight, before)
