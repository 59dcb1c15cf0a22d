import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.edit import insert_dropout, insert_norm
from normwise.evidence import distributions


class Known(nn.Module):
    """A network whose pre-activation is its input."""

    def __init__(self, activation, kind: str = "linear", units: int = 3) -> None:
        super().__init__()
        eye = torch.eye(units)
        self.layer = nn.Linear(units, units) if kind == "linear" else nn.Conv1d(units, units, 1)
        self.layer.weight.data = eye if kind == "linear" else eye[:, :, None]
        self.layer.bias.data.zero_()
        self.activation, self.head = activation, nn.LazyLinear(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.activation(self.layer(x)))


def measured(activation, x: Tensor, kind: str = "linear"):
    [found] = distributions(Known(activation, kind, x.shape[1]), x)
    return found


@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_moments_quantiles_and_histogram_are_numpys(kind):
    torch.manual_seed(0)
    shape = (400, 3) if kind == "linear" else (50, 3, 7)
    x = torch.randn(shape) * torch.tensor([1.0, 2.0, 5.0]).view(-1, *[1] * (len(shape) - 2)) + 4
    found = measured(torch.relu, x, kind)
    values = x.double().numpy().ravel()
    assert (found.layer, found.activation) == ("layer", "relu")
    np.testing.assert_allclose(found.mean, values.mean(), rtol=1e-6)
    np.testing.assert_allclose(found.std, values.std(), rtol=1e-6)
    low, high = np.quantile(values, [0.05, 0.95])
    np.testing.assert_allclose([found.low, found.high], [low, high], rtol=1e-5)
    edges = np.array(found.edges)
    np.testing.assert_allclose(edges[[0, -1]], np.quantile(values, [0.001, 0.999]), rtol=1e-5)
    np.testing.assert_allclose(np.diff(edges), (edges[-1] - edges[0]) / 40, rtol=1e-9)
    counts = [((values >= a) & (values < b)).sum() for a, b in pairwise(edges)]
    expected = np.array(counts) / len(values) / np.diff(edges)
    np.testing.assert_allclose(found.density, expected, atol=2.5 / len(values) / np.diff(edges)[0])
    shown = ((values >= edges[0]) & (values <= edges[-1])).mean()
    np.testing.assert_allclose((np.array(found.density) * np.diff(edges)).sum(), shown, atol=1e-12)


def test_a_large_mean_keeps_its_variance():
    x = 1e4 + torch.randn(2000, 3, dtype=torch.float64)
    net = Known(torch.relu).double()
    net.layer.weight.data = torch.eye(3, dtype=torch.float64)
    [found] = distributions(net, x)
    assert found.std == pytest.approx(x.numpy().std(), rel=1e-9)


def test_a_constant_has_a_histogram():
    found = measured(torch.relu, torch.full((5, 3), 2.0))
    assert (found.edges[0], found.edges[-1]) == (1.5, 2.5)
    assert sum(found.density) / 40 == pytest.approx(1)


def test_a_dead_unit_is_not_a_dead_element():
    x = torch.rand(50, 4) + 0.1
    x[:, 0] *= -1  # dead
    x[:-1, 1] *= -1  # alive for one value
    found = measured(torch.relu, x)
    assert found.dead == 1 / 4
    assert np.isnan(found.saturated)
    assert np.isnan(measured(F.elu, x).dead)


def test_dead_channels():
    x = torch.rand(10, 4, 6) + 0.1
    x[:, 0], x[:, 1], x[:-1, 2], x[-1, 2, :-1] = -1, -1, -1, -1
    for activation in (F.relu, nn.ReLU(), nn.ReLU6()):
        assert measured(activation, x, "conv").dead == 2 / 4


def test_dead_units_of_tokens_are_features():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    net[0].weight.data, net[0].bias.data = torch.eye(4), torch.tensor([0.0, -9, -9, -9])
    [found] = distributions(net, torch.rand(5, 7, 4))
    assert found.dead == 3 / 4


@pytest.mark.parametrize(
    ("activation", "inner", "outer"),
    [
        (torch.tanh, np.arctanh(0.89), np.arctanh(0.91)),  # outer 5 % of (-1, 1): beyond 0.9
        (torch.sigmoid, np.log(0.94 / 0.06), np.log(0.96 / 0.04)),  # of (0, 1): beyond 0.95
        (F.softsign, 0.89 / 0.11, 0.91 / 0.09),
    ],
)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_saturated_unit_gives_most_values_near_the_bounds(activation, inner, outer, sign):
    x = torch.zeros(100, 4)
    x[:, 0] = sign * outer
    x[:, 1] = sign * inner
    x[:95, 2] = sign * outer  # just enough
    x[:94, 3] = sign * outer  # just not
    found = measured(activation, x)
    assert found.saturated == 2 / 4
    assert np.isnan(found.dead)


def test_both_ends_count_together():
    x = torch.tensor([[9.0], [-9.0]]).repeat(10, 3)
    assert measured(torch.tanh, x).saturated == 1


def test_batch_statistics_are_used_and_dropout_is_off():
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Dropout(0.9), nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.9)),
        *(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)),
    ).eval()
    net[2].running_mean.fill_(100)
    x = torch.randn(64, 4)
    first, second = distributions(net, x)
    assert first.mean == pytest.approx(0, abs=1e-6)
    assert first.std == pytest.approx(1, abs=1e-3)
    hidden = F.relu(F.batch_norm(net[1](x), None, None, training=True))
    expected = net[5](hidden).double()
    assert second.mean == pytest.approx(expected.mean().item(), abs=1e-6)
    assert second.std == pytest.approx(expected.std(unbiased=False).item(), rel=1e-5)


def test_functional_dropout_is_off_too():
    class Net(Known):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.dropout(x, 0.9, self.training))

    x = torch.rand(20, 3)
    [found] = distributions(Net(torch.relu), x)
    assert found.mean == pytest.approx(x.double().mean().item(), rel=1e-6)


def test_edited_networks_are_measured_behind_their_norms():
    torch.manual_seed(0)
    x = torch.randn(64, 4) * 7
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 2))
    insert_dropout(insert_norm(net, "batch", x), 0.5, x)
    found = distributions(net, x)
    assert [(d.layer, d.activation) for d in found] == [("0", "relu"), ("2", "tanh")]
    for distribution in found:
        assert distribution.mean == pytest.approx(0, abs=1e-6)
        assert distribution.std == pytest.approx(1, abs=1e-3)


def test_all_layers_that_feed_it_are_named():
    class Net(Known):
        def __init__(self):
            super().__init__(torch.relu)
            self.other = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.relu(self.layer(x) + self.other(x)))

    [found] = distributions(Net(), torch.rand(5, 3))
    assert found.layer == "layer + other"


def test_inputs_that_are_not_finite_are_left_out():
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    net[2].weight.data[0, 0] = float("nan")
    assert [d.layer for d in distributions(net, torch.rand(5, 3))] == ["0"]
    assert distributions(nn.Linear(3, 2), torch.rand(5, 3)) == []


def test_in_place_activations_are_measured_before_they_overwrite():
    x = torch.randn(50, 3)
    found = measured(nn.ReLU(inplace=True), x)
    assert found.low == pytest.approx(np.quantile(x.double().numpy(), 0.05), rel=1e-5)


def test_the_network_is_untouched():
    torch.manual_seed(0)
    layers = nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.5), nn.Linear(6, 2)
    net = nn.Sequential(*layers)
    net[1].eval()
    twin, modes = copy.deepcopy(net), [m.training for m in net.modules()]
    state, draws = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    distributions(net, torch.ones(8, 3))
    assert torch.equal(torch.get_rng_state(), draws)
    assert all(torch.equal(v, state[k]) for k, v in net.state_dict().items())
    assert [m.training for m in net.modules()] == modes
    assert net[3].p == 0.5
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    assert str(net) == str(twin)
