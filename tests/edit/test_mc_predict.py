import copy
import random
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.edit import insert_dropout, insert_norm, mc_predict
from normwise.edit.sampling import passes
from normwise.errors import UsageError
from normwise.layers import Dropout, GaussianDropout, LockedDropout, StochasticDepth, drop_connect

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))


def linear(weight: float = 1.0) -> nn.Linear:
    layer = nn.Linear(4, 4, bias=False)
    nn.init.eye_(layer.weight).data.mul_(weight)
    return layer


def state(net: nn.Module) -> list:
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules()]
    values = {name: tensor.tolist() for name, tensor in tensors.items()}
    own = [m.generator.get_state().tolist() for m in net.modules() if getattr(m, "generator", None)]
    modes = [module.training for module in net.modules()]
    return [values, hooks, modes, own, torch.get_rng_state().tolist(), random.getstate()]


class Looping(nn.Module):
    """What torch.vmap cannot run: control flow that depends on values."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x):
        y = self.inner(x)
        return y if y.sum() > -1e9 else x


@pytest.mark.parametrize(
    ("dropout", "variance"),
    [
        (nn.Dropout(0.3), 3 / 7),
        (nn.Dropout(0.3, inplace=True), 3 / 7),
        (Dropout(0.3, generator=torch.Generator()), 3 / 7),
        (GaussianDropout(0.3), 3 / 7),
        (StochasticDepth(0.3), 3 / 7),
        (drop_connect(linear(), 0.3), 3 / 7),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("wrap", [nn.Sequential, Looping])
def test_moments_are_those_of_the_masks(dropout, variance, wrap):
    """Kept with probability 1 - p and divided by it: x times 1 with variance p / (1 - p)."""
    net = nn.Sequential(linear(2.0), wrap(dropout), linear(0.5)).eval()
    count = 400 if wrap is Looping else 2000
    mean, std, samples = mc_predict(net, X, count, return_samples=True)
    error = 5 * (variance / count) ** 0.5 * X.abs().max()
    torch.testing.assert_close(mean, X, rtol=0, atol=float(error))
    torch.testing.assert_close(
        std, X.abs() * variance**0.5, rtol=0.3 if wrap is Looping else 0.15, atol=0
    )
    assert len(samples.flatten(1).unique(dim=0)) > (
        1 if isinstance(dropout, StochasticDepth) else 9
    )


def test_mean_and_std_are_those_of_the_samples():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 3))
    mean, std, samples = mc_predict(net, X, 37, return_samples=True)
    assert samples.shape == (37, 5, 3)
    torch.testing.assert_close(mean, samples.double().mean(0).float())
    torch.testing.assert_close(std, samples.double().std(0).float())


def test_passes_as_memory_allows_give_the_same_moments(monkeypatch):
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 3))
    calls = []
    net.register_forward_hook(lambda *_: calls.append(1))
    whole = mc_predict(net, X, 3000)
    assert len(calls) == 2  # to find the dropout, and all samples together
    monkeypatch.setattr(passes, "MEMORY", 1000 * 5 * 8 * 4)
    calls.clear()
    parts = mc_predict(net, X, 3000)
    assert len(calls) == 4
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.03)


def test_samples_do_not_meet_in_a_network_that_mixes_its_batch():
    class Mixing(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            y = self.drop(x)
            return y - y.mean(0)

    net = Mixing()
    samples = mc_predict(net, torch.ones(5, 4), 400, return_samples=True)[2]
    torch.testing.assert_close(samples.mean(1), torch.zeros(400, 4))


def test_norms_use_and_keep_their_running_statistics():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x):
            norm = self.norm
            x = F.batch_norm(x, norm.running_mean, norm.running_var, training=self.training)
            return F.dropout(norm(x), 0.5, self.training), x

    net = Functional()
    net.norm.running_mean.fill_(3.0)
    before = state(net)
    (_, normed), (_, spread) = mc_predict(net, X)
    assert state(net) == before
    torch.testing.assert_close(normed, (X - 3) / (1 + 1e-5) ** 0.5)
    assert not spread.any()


def test_a_batch_of_one_will_do():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    assert (mc_predict(net, X[:1])[1] > 0).all()


def test_what_our_own_edits_have_inserted_counts():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    net = insert_dropout(insert_norm(net, "batch", X), 0.5, X).eval()
    before = state(net)
    assert (mc_predict(net, X)[1] > 0).all()
    assert state(net) == before


@pytest.mark.parametrize(
    "net",
    [
        nn.TransformerEncoderLayer(4, 2, 8, dropout=0.2, batch_first=True),
        nn.LSTM(4, 5, num_layers=2, dropout=0.3),
        nn.MultiheadAttention(4, 2, dropout=0.5),
        nn.Sequential(LockedDropout(0.3), nn.Linear(4, 2)),
    ],
    ids=lambda net: type(net).__name__,
)
@pytest.mark.parametrize("training", [True, False])
def test_dropout_inside_of_torchs_modules(net, training):
    """Evaluation mode has fast kernels without dropout, and torch.vmap forgets that of an LSTM."""
    x = X.expand(3, 5, 4)
    arguments = (x, x, x) if isinstance(net, nn.MultiheadAttention) else x
    net.train(training)
    before = state(net)
    mean, std = mc_predict(net, arguments, 20)
    assert state(net) == before
    first = std if isinstance(std, torch.Tensor) else std[0]
    assert (first > 0).all()
    assert type(mean) is type(net.eval()(*arguments if isinstance(arguments, tuple) else (x,)))


def test_attention_called_as_a_function():
    class Attention(nn.Module):
        def forward(self, x):
            p = 0.5 if self.training else 0.0
            return F.scaled_dot_product_attention(x, x, x, dropout_p=p)

    assert (mc_predict(Attention().eval(), torch.randn(2, 3, 4))[1] > 0).all()


def test_outputs_keep_their_places():
    class Many(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x, *, scale):
            y = self.drop(x) * scale
            return OrderedDict(a=y, b=[y.argmax(1), {"c": None, "d": "word"}], e=y.half())

    mean, std = mc_predict(Many(), {"x": X, "scale": 2.0}, 100)
    assert isinstance(mean, OrderedDict)
    assert mean["b"][1] == std["b"][1] == {"c": None, "d": "word"}
    assert mean["b"][0].dtype == torch.float32
    assert mean["e"].dtype == std["e"].dtype == torch.float16
    torch.testing.assert_close(mean["a"], 2 * X, rtol=0, atol=1.5)


def test_the_seed_decides_and_nothing_else():
    net = nn.Sequential(nn.Dropout(0.5), Dropout(0.5, generator=torch.Generator()))
    first = mc_predict(net, X, 10, seed=1)[0]
    torch.rand(3)
    net[1].generator.manual_seed(9)
    before = state(net)
    assert torch.equal(mc_predict(net, X, 10, seed=1)[0], first)
    assert not torch.equal(mc_predict(net, X, 10, seed=2)[0], first)
    assert state(net) == before


def test_left_as_it_was_after_an_error():
    class Broken(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.drop, self.norm = nn.Dropout(0.5), nn.BatchNorm1d(4)

        def forward(self, x):
            Broken.calls += 1
            if Broken.calls > 4:
                raise RuntimeError("enough")
            return self.drop(self.norm(x)) if x.sum() < 1e9 and self.norm(x).sum() < 1e9 else x

    net = Broken()
    net.drop.eval()
    before = state(net)
    with pytest.raises(RuntimeError, match="enough"):
        mc_predict(Looping(net), X)
    assert state(net) == before


@pytest.mark.parametrize("net", [nn.Linear(4, 2), nn.Sequential(nn.Linear(4, 2), nn.Dropout(0.0))])
def test_nothing_random(net):
    with pytest.raises(UsageError, match=r"nothing in this network draws random numbers"):
        mc_predict(net, X)


@pytest.mark.parametrize("samples", [0, 1, 2.5])
def test_too_few_samples_have_no_spread(samples):
    with pytest.raises(UsageError, match=f"samples={samples}: a spread needs at least two"):
        mc_predict(nn.Dropout(), X, samples)


def test_gradients_and_inputs_stay():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(4, 2), nn.Dropout(0.5))
    net(X.clone()).sum().backward()
    grads, x = [p.grad.clone() for p in net.parameters()], X.clone()
    other = copy.deepcopy(net)
    mean, _ = mc_predict(net, x)
    assert torch.equal(x, X)
    assert not mean.requires_grad
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), grads, strict=True))
    assert torch.equal(other.eval()(X.clone()), net.eval()(X.clone()))


def test_a_hook_of_the_users_own_that_drops_out():
    net = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
    net[1].register_forward_hook(lambda m, i, o: F.dropout(o, 0.5, training=m.training))
    x = torch.randn(3, 4)
    std = mc_predict(net, x, samples=20, seed=1)[1]
    assert (std > 0).all()
    hidden = net[:2].eval()(x)
    variance = (hidden.square() @ net[2].weight.square().T).detach()  # of kept/0.5 with p = 0.5
    many = mc_predict(net, x, samples=4000, seed=2)[1].square()
    torch.testing.assert_close(many, variance, rtol=0.15, atol=0)


def test_what_it_does_not_run_on():
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 2))
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(UsageError, match=r"does not run on the example of shape \(3, 5\)"):
        mc_predict(net, torch.randn(3, 5))
    with pytest.raises(UsageError, match="unexpected keyword argument 'x'"):
        mc_predict(net, {"x": torch.randn(3, 4)})
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
