"""Networks for DAT106: answers for a sample that depend on the others in its batch."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.evidence import Evidence, Level, Module
from normwise.rules import check, watch
from normwise.rules.dat106 import SamplesLeak

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))
SEQUENCES = torch.randn(32, 5, 8), torch.randint(0, 4, (32,))


def rows(*middle: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16, bias=False), *middle, nn.ReLU(), nn.Linear(16, 4))


class Attending(nn.Module):
    """Attention over positions, or over samples by mistake."""

    def __init__(self, *, batch_first: bool):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x)[0].mean(1))


class Centred(nn.Module):
    """Subtracts the mean over the batch."""

    def __init__(self):
        super().__init__()
        self.net = rows()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x - x.mean(0))


def bad_norm_without_running_statistics():
    net = rows(nn.BatchNorm1d(16, track_running_stats=False))
    return check(net, (X, Y)), "1"


def bad_attention_over_samples():
    return check(Attending(batch_first=False), SEQUENCES), ""


def bad_mean_over_samples():
    return check(Centred(), (X, Y)), ""


def ok_batch_norm():
    return check(rows(nn.BatchNorm1d(16)), (X, Y))


def near_attention_over_positions():
    return check(Attending(batch_first=True), SEQUENCES)


def near_instance_norm():
    net = nn.Sequential(nn.InstanceNorm1d(5), nn.Flatten(), nn.Linear(40, 4))
    return check(net, SEQUENCES)


def near_dropout_that_is_always_on():
    class Always(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.1)

    return check(rows(Always()), (X, Y))


def test_change_is_relative():
    net = nn.Sequential(Centred(), nn.Linear(4, 1))
    [found] = check(net, (X, X[:, :1]), select="DAT106")
    net.eval()
    with torch.no_grad():
        whole, alone = net(X)[0], net(X[:1].expand(64, 8))[0]
    assert abs(found.value - ((whole - alone).abs() / whole.abs()).item()) < 1e-5


def test_watching_is_no_verdict():
    with watch(rows(), every=1) as watching:
        pass
    assert "DAT106" in watching.findings().unanswered


def leaking(leak: float, *norms: nn.Module, calls: int = 1) -> Evidence:
    modules = {str(i): Module(str(i), norm, calls) for i, norm in enumerate(norms)}
    return Evidence(Level.FORWARD, modules=modules, leak=leak)


@pytest.mark.parametrize(("leak", "reported"), [(2e-3, True), (5e-4, False), (0.0, False)])
def test_rounding_is_no_leak(leak: float, reported: bool):
    assert bool(list(SamplesLeak().check(leaking(leak)))) is reported


def test_the_norm_without_statistics_is_named_if_it_was_called():
    kept = nn.BatchNorm1d(3)
    bare = nn.BatchNorm1d(3, track_running_stats=False)
    [found] = SamplesLeak().check(leaking(0.5, kept, bare, bare))
    assert found.where == "1"
    [found] = SamplesLeak().check(leaking(0.5, kept, bare, calls=0))
    assert found.where == ""
