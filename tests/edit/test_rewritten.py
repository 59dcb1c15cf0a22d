"""A rewritten network is saved and loaded whole, and runs under torch.func."""

import inspect
import io

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.edit import insert_dropout, insert_norm, replace_activation

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.fc1(x)) * (2 if self.training else 1)
        return self.fc3(self.fc2(x).relu())


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, dropout=0.0)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x.unsqueeze(1)).squeeze(1))


EDITS = {
    "batch": lambda net: insert_norm(net, "batch", X),
    "layer": lambda net: insert_norm(net, "layer", X),
    "batch:after": lambda net: insert_norm(net, "batch", X, placement="after"),
    "layer:after": lambda net: insert_norm(net, "layer", X, placement="after"),
    "dropout": lambda net: insert_dropout(net, 0.0, X),
    "tanh": lambda net: replace_activation(net, "tanh", X),
    "all": lambda net: insert_dropout(
        insert_norm(replace_activation(net, "tanh", X), "layer", X, placement="after"), 0.4, X
    ),
}


def make(kind: type[nn.Module], edit: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return EDITS[edit](kind())


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("kind", [Net, Attention])
def test_saved_and_loaded_whole(kind, edit):
    net = make(kind, edit)
    file = io.BytesIO()
    torch.save(net, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert isinstance(loaded, kind)
    assert str(loaded) == str(net)
    for training in (True, False):
        outputs = []
        for network in (net.train(training), loaded.train(training)):
            torch.manual_seed(1)
            outputs.append(network(X))
        assert torch.equal(*outputs)
    file = io.BytesIO()
    torch.save(loaded, file)  # and once more
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(X), net(X))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("edit", [edit for edit in EDITS if edit != "all"])
@pytest.mark.parametrize("kind", [Net, Attention])
def test_stacked_parameters_under_vmap(kind, edit):
    evaluate = "batch" in edit  # whose training writes running statistics
    nets = [make(kind, edit, seed).train(not evaluate) for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(nets)
    parameters = {name: value.detach() for name, value in parameters.items()}

    def run(parameters, buffers):
        return torch.func.functional_call(nets[0], (parameters, buffers), (X,))

    def loss(parameters, buffers):
        return run(parameters, buffers).square().sum()

    stacked = torch.vmap(run)(parameters, buffers)
    gradients = torch.vmap(torch.func.grad(loss))(parameters, buffers)
    for index, net in enumerate(nets):
        torch.testing.assert_close(stacked[index], net(X))
        net(X).square().sum().backward()
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(gradients[name][index], parameter.grad, rtol=1e-4, atol=1e-5)


def test_the_signature_is_the_originals():
    net = make(Net, "dropout")
    assert inspect.signature(net.forward) == inspect.signature(Net().forward)
    assert type(net).__name__ == "Net"
