"""`check` leaves everything as it was, and says what it cannot use."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Adam

from normwise.errors import UsageError
from normwise.evidence import Level, probe
from normwise.rules import check

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


def rows() -> nn.Sequential:
    layers = nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Dropout(0.5)
    return nn.Sequential(*layers, nn.Linear(16, 4))


def test_network_optimizer_gradients_and_random_state_are_left():
    net = rows().eval()
    net[0].train()
    optimizer = Adam(net.parameters(), lr=0.1)
    net(X).sum().backward()
    optimizer.step()
    state = copy.deepcopy((net.state_dict(), optimizer.state_dict()))
    gradients = [p.grad for p in net.parameters()]
    copies = [g.clone() for g in gradients]
    draws, modes, x = torch.get_rng_state(), [m.training for m in net.modules()], X.clone()
    check(net, (X, Y), optimizer=optimizer)
    for before, after in zip(state, (net.state_dict(), optimizer.state_dict()), strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert all(p.grad is g for p, g in zip(net.parameters(), gradients, strict=True))
    assert all(map(torch.equal, gradients, copies))
    assert torch.equal(torch.get_rng_state(), draws)
    assert torch.equal(X, x)
    assert [m.training for m in net.modules()] == modes


def test_loaders_mappings_and_single_tensors():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = rows()

        def forward(self, x: Tensor, y: Tensor | None = None) -> object:
            return type("Output", (), {"loss": nn.functional.cross_entropy(self.net(x), y)})()

    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=16)
    assert "GRD101" in check(rows(), loader).clean
    assert "GRD101" in check(Own(), {"x": X, "y": Y}).clean
    assert check(rows(), X).unanswered["GRD101"] == "needs a backward pass"


def test_optimizers_that_evaluate_several_times():
    net = rows()
    evidence = probe(net, [(X, Y)], nn.functional.cross_entropy, LBFGS(net.parameters()))
    assert evidence.level is Level.TRAINING
    assert evidence.notes == ()


@pytest.mark.parametrize(
    ("batch", "options", "complaint"),
    [
        (3, {}, "the batch is a int: pass a tensor"),
        ([], {}, "the loader gives no batch"),
        ((X, Y), {"steps": 0}, "steps=0: at least one batch"),
        (
            (X[:, :5], Y),
            {},
            r"model does not run on the given batch, a tuple of shapes .* RuntimeError.*\)\. It is",
        ),
        (
            (X, Y + 7),
            {},
            r"the loss does not take the model's output, a tensor of shape .*, with the target, a "
            r"tensor of shape .*: IndexError: Target \d+ is out of bounds$",
        ),
        ((X, Y), {"select": "ABC"}, "no rule 'ABC'"),
    ],
)
def test_refusals(batch: object, options: dict, complaint: str):
    net = rows()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(UsageError, match=complaint):
        check(net, batch, **options)
    torch.testing.assert_close(net.state_dict(), before, rtol=0, atol=0)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


class Mixing(nn.Module):
    """A network that centres its batch, also in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def test_leak_is_what_other_samples_change():
    assert probe(rows(), [(X, Y)]).leak == pytest.approx(0, abs=1e-5)
    assert probe(nn.BatchNorm1d(8, track_running_stats=False), [X]).leak > 0.1
    first = X[0] - X.mean(0)
    leak = probe(Mixing(), [X]).leak
    assert leak == pytest.approx((first.abs().max() / first.abs().max()).item())
    assert probe(Mixing(), [X[:1]]).leak is None
