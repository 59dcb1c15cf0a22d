"""Networks for LOS103: a softmax over a single logit."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.rules import check

X, Y = torch.randn(64, 8), torch.randint(0, 2, (64,))


def net(outputs: int, *last: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, outputs), *last)


class Computing(nn.Module):
    """A network of pixels that computes its loss."""

    def __init__(self, classes: int):
        super().__init__()
        self.layer = nn.Conv2d(3, classes, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(self.layer(x), y)


class Model(nn.Module):
    """Hands its loss on."""

    def __init__(self, classes: int):
        super().__init__()
        self.inner = Computing(classes)

    def forward(self, x: Tensor) -> Tensor:
        self.loss = self.inner(x, torch.zeros(len(x), 4, 4, dtype=torch.long))
        return self.loss


class Attending(nn.Module):
    """Attention over the words of sentences, of which all happen to have one."""

    def __init__(self):
        super().__init__()
        self.score, self.head = nn.Linear(8, 1), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None]
        return self.head(torch.relu((self.score(x).softmax(1) * x).sum(1)))


def loss_of_output(output: Tensor, _target: Tensor) -> Tensor:
    return output


def bad_softmax_layer():
    target = Y[:, None].float()
    return check(net(1, nn.Softmax(1)), (X, target), F.binary_cross_entropy, select="LOS103"), "3"


def bad_cross_entropy_of_one_class():
    batch = torch.randn(8, 3, 4, 4), torch.zeros(8)
    return check(Model(1), batch, loss_of_output, select="LOS103"), "inner"


def ok_two_outputs():
    return check(net(2), (X, Y))


def near_sigmoid():
    return check(net(1), (X, Y[:, None].float()), F.binary_cross_entropy_with_logits)


def near_attention_over_one_place():
    return check(Attending(), (X, Y), select="LOS")


def test_cross_entropy_in_the_loop():
    findings = check(net(1), (X, torch.zeros(64).long()), F.cross_entropy, select="LOS103")
    assert [finding.code for finding in findings] == ["LOS103"]
    assert "always 1" in findings[0].message
