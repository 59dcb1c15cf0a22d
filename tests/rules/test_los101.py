"""Networks for LOS101: probabilities where cross-entropy expects logits."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.rules import check, watch

X, Y = torch.randn(64, 8), torch.randint(0, 4, (64,))


def net(*last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), *last)


class Loss(nn.Module):
    """A loss that applies its own softmax first."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(x.softmax(1), y)


class Computing(nn.Module):
    """A network that returns its loss."""

    def __init__(self):
        super().__init__()
        self.inner = net(nn.Softmax(-1))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.inner(x), target=y)


def bad_softmax_deep_in_a_network_that_computes_its_loss():
    model = nn.ModuleDict({"all": Computing()})
    with watch(model, every=1) as watching:
        for _ in range(3):
            model["all"](X, Y).backward()
    return watching.findings(), "all"


def test_softmax_layer_is_named():
    [finding] = check(net(nn.Softmax(1)), (X, Y), loss=nn.CrossEntropyLoss())
    assert (finding.code, finding.level) == ("LOS101", "error")
    assert "softmax in 3" in finding.advice


def test_softmax_in_the_loss():
    [finding] = check(net(), (X, Y), loss=Loss())
    assert finding.code == "LOS101"
    assert finding.where.rpartition(":")[0].endswith("test_los101.py")


def ok_logits():
    return check(net(), (X, Y))


def near_nll_of_log_probabilities():
    def loss(x: Tensor, y: Tensor) -> Tensor:
        return F.nll_loss(x, y) + 0 * F.cross_entropy(x * 2, y)

    return check(net(nn.LogSoftmax(1)), (X, Y), loss=loss)


def near_positive_logits():
    return check(net(nn.Sigmoid()), (X, Y))


def near_probability_targets():
    return check(net(), (X, F.one_hot(Y, 4).float()), loss=F.cross_entropy)


def test_other_losses_are_no_verdict():
    assert "cross_entropy" in check(net(), (X, X[:, :4]), loss=F.mse_loss).unanswered["LOS101"]
