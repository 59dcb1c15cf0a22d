import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.edit import insert_dropout, insert_input_dropout
from normwise.errors import UsageError
from normwise.trace import trace

X = torch.randn(6, 4)


def mlp() -> nn.Sequential:
    layers = nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 3)
    return nn.Sequential(*layers, nn.Sigmoid())


def test_stands_behind_every_hidden_activation_and_nowhere_else():
    net = mlp()
    assert insert_dropout(net, 0.3, X) is net
    drops = [path for path, m in net.named_modules() if isinstance(m, nn.Dropout) and m.p == 0.3]
    assert drops == ["1.dropout", "3.dropout"]
    assert [a.dropout for a in trace(net, X).activations] == drops


@pytest.mark.filterwarnings("error")
def test_a_network_whose_first_weights_are_complex():
    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.filter = nn.Parameter(torch.ones(3, dtype=torch.cfloat))
            self.net = mlp()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(torch.fft.irfft(torch.fft.rfft(x) * self.filter, n=4))

    net = insert_dropout(Spectral(), 0.3, X)
    assert [m.p for m in net.modules() if isinstance(m, nn.Dropout)] == [0.3, 0.3]


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_share_of_zeros_and_scale(p):
    torch.manual_seed(0)
    net = insert_dropout(mlp(), p, X)
    hidden = []
    net[2].register_forward_pre_hook(lambda module, inputs: hidden.append(inputs[0]))
    x = torch.randn(5000, 4)
    net(x)
    kept = hidden[0] != 0  # a sigmoid is never zero
    n = kept.numel()
    assert abs(kept.double().mean().item() - (1 - p)) < 5 * (p * (1 - p) / n) ** 0.5
    full = torch.sigmoid(net[0](x))
    torch.testing.assert_close(hidden[0][kept], full[kept] / (1 - p))


def test_evaluation_is_untouched():
    net = mlp().eval()
    expected = net(X)
    assert torch.equal(insert_dropout(net, 0.5, X)(X), expected)


def test_dropout_that_is_there_gets_the_p():
    net = nn.Sequential(
        *(nn.Linear(4, 8), nn.ReLU(), nn.LayerNorm(8), nn.Dropout(0.9)),
        *(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3), nn.Dropout(0.7)),
    )
    insert_dropout(net, 0.2, X)
    drops = {path: m.p for path, m in net.named_modules() if isinstance(m, nn.Dropout)}
    assert drops == {"3": 0.2, "5.dropout": 0.2, "7": 0.7}
    insert_dropout(net, 0.4, X)
    drops = {path: m.p for path, m in net.named_modules() if isinstance(m, nn.Dropout)}
    assert drops == {"3": 0.4, "5.dropout": 0.4, "7": 0.7}


def test_a_block_used_twice_gets_one_dropout():
    block = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    insert_dropout(nn.Sequential(block, block, nn.Linear(4, 2)), 0.5, X)
    assert sum(isinstance(m, nn.Dropout) for m in block.modules()) == 1


def test_channels_are_not_dropped_whole():
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sigmoid(), nn.Conv2d(4, 2, 1))
    insert_dropout(net, 0.5, torch.randn(2, 3, 8, 8))
    zeros = (net[1](torch.zeros(2, 4, 8, 8)) == 0).flatten(2).double().mean(2)
    assert ((zeros > 0.2) & (zeros < 0.8)).all()


def test_input_dropout_sees_the_input():
    def kept(network: nn.Module, layer: nn.Module) -> torch.Tensor:
        seen = []
        layer.input_dropout.register_forward_hook(lambda m, i, output: seen.append(output))
        network(torch.ones(4000, 4))
        return seen[0]

    torch.manual_seed(0)
    net = mlp()
    insert_input_dropout(net, 0.25, X)
    out = kept(net, net[0])
    assert set(out.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs((out == 0).double().mean().item() - 0.25) < 5 * (0.25 * 0.75 / out.numel()) ** 0.5
    assert [path for path, m in net.named_modules() if isinstance(m, nn.Dropout)] == [
        "0.input_dropout"
    ]


def test_every_first_layer_gets_input_dropout():
    class TwoWays(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(F.relu(self.a(x) + self.b(x * 2)))

    net = insert_input_dropout(TwoWays(), 0.1, X)
    assert [hasattr(m, "input_dropout") for m in (net.a, net.b, net.head)] == [True, True, False]


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [-0.1, 1, 1.5, float("nan")])
@pytest.mark.parametrize("edit", [insert_dropout, insert_input_dropout])
def test_p_is_a_probability_below_one(edit, p):
    with pytest.raises(UsageError, match=r"dropout=.*: the probability .* lies in \[0, 1\)"):
        edit(mlp(), p, X)


def test_no_hidden_activation():
    net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(-1))
    with pytest.raises(UsageError, match=r"no place for dropout=0.5.*input-dropout would work"):
        insert_dropout(net, 0.5, X)


def test_no_layer_sees_the_input():
    net = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 3))
    words = torch.randint(0, 5, (6, 2))
    with pytest.raises(UsageError, match=r"no place for input-dropout=0.5.*torch.int64"):
        insert_input_dropout(net, 0.5, words)
    with pytest.raises(UsageError, match=r"no place for dropout=0.5.*put an nn.Dropout where it"):
        insert_dropout(net, 0.5, words)


def test_functional_dropouts_are_all_named():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Linear(4, 5), nn.Linear(5, 5), nn.Linear(5, 2)

        def forward(self, x):
            x = F.dropout(F.relu(self.a(x)), 0.5, self.training)
            return self.head(F.dropout(F.relu(self.b(x)), 0.5, self.training))

    with pytest.raises(UsageError) as caught:
        insert_dropout(Net(), 0.5, X)
    starts = [problem.split(" is followed")[0] for problem in caught.value.problems]
    assert starts == ["the relu after a", "the relu after b"]
