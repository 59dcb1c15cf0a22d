"""What norms keep is told from what they are given."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD

from normwise.evidence import Evidence, Norm, Observer, Passes, Schedule

X = torch.randn(64, 3, generator=torch.Generator().manual_seed(1))


def norm_of(evidence: Evidence, path: str = "") -> Norm:
    found = evidence.modules[path].norm
    assert found is not None
    return found


def observed(net: nn.Module, train, every: int = 1) -> Evidence:
    observer = Observer({"": net}, (), Schedule(every=every))
    observer.attach()
    try:
        train()
    finally:
        observer.detach()
    return observer.evidence()


def test_running_statistics_are_averaged_over_the_recent_calls():
    net = nn.BatchNorm1d(3)
    means: list[Tensor] = []

    def train() -> None:
        optimizer = SGD(net.parameters(), 0.1)
        for step in range(44):
            means.append(net.running_mean.double().clone())
            net(X + step).sum().backward()
            optimizer.step()

    evidence = observed(net, train)
    recent = evidence.modules[""].input.recent
    measured = means[:16] + means[16::2]
    found = norm_of(evidence)
    assert recent.batches == 16
    assert torch.tensor(found.kept_mean).allclose(torch.stack(measured[-16:]).mean(0))
    assert found.kept_updates == 14


def test_later_calls_are_told_apart():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x) + self.norm(x + 5) + self.norm(x + 7)

    net = Twice()
    evidence = observed(net, lambda: net(X).sum().backward())
    later = norm_of(evidence, "norm").later
    assert evidence.modules["norm"].input.count == 3 * 64
    assert later.count == 2 * 64
    assert torch.tensor(later.mean).allclose(X.double().mean(0) + 6, atol=1e-6)


def test_shift_is_the_ratio_of_variances_of_the_median_channel():
    net = nn.BatchNorm1d(3)

    def train() -> None:
        net(X).sum().backward()
        SGD(net.parameters(), 0.1).step()
        net.eval()
        with torch.no_grad():
            net(X * torch.tensor([1.0, 0.5, 0.1]))

    assert norm_of(observed(net, train)).shift.last == pytest.approx(4, rel=1e-4)


def test_no_shift_is_told_long_after_the_last_training_batch():
    net = nn.BatchNorm1d(3)
    optimizer = SGD(net.parameters(), 0.1)

    def train() -> None:
        for _ in range(40):
            net(X).sum().backward()
            optimizer.step()
        net.eval()
        with torch.no_grad():
            net(X)

    assert norm_of(observed(net, train, every=100)).shift.count == 0
    net.train()
    assert norm_of(observed(net, train, every=39)).shift.count == 1


@pytest.mark.parametrize(
    ("gradients", "moved", "frozen"), [(False, 0.0, True), (False, 0.1, False), (True, 0.0, False)]
)
def test_frozen_norms_are_those_that_stay(gradients: bool, moved: float, frozen: bool):
    net = nn.BatchNorm1d(3).requires_grad_(gradients)

    def train() -> None:
        net(X.clone().requires_grad_()).sum().backward()
        net.weight.data += moved

    assert norm_of(observed(net, train)).frozen == frozen


def test_passes_of_the_same_tensor_are_counted():
    net = nn.BatchNorm1d(3)

    def train() -> None:
        for x in (X, X, X + 1, X):
            net(x)

    [passes] = observed(net, train).passes
    assert isinstance(passes, Passes)
    assert (passes.count, passes.repeated) == (4, 1)


def test_gradients_that_were_cleared_are_not_accumulated():
    net = nn.Linear(3, 1)
    optimizer = SGD(net.parameters(), 0.1)

    def train() -> None:
        for _ in range(4):
            net(X).sum().backward()  # of another loss, whose gradients are not used
            optimizer.zero_grad()
            for part in X.split(32):
                F.mse_loss(net(part), part[:, :1]).backward()
            optimizer.step()

    assert observed(net, train).optimizers[0].accumulated == 2
