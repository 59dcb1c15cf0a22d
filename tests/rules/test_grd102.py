"""Networks for GRD102: gradients that grow on their way to the first layers."""

import torch
from torch import Tensor, nn

from normwise.rules import check

ROWS = torch.randn(64, 16), torch.randint(0, 3, (64,))


def deep(scale: float, norm: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(8):
        layers += [nn.Linear(16, 16), *([nn.LayerNorm(16)] if norm else []), nn.LeakyReLU(0.5)]
        layers[-2 - norm].weight.data *= scale
    return nn.Sequential(*layers, nn.Linear(16, 3))


class Recurrent(nn.Module):
    """A plain recurrence whose weights are set so that it multiplies by `scale` in each step."""

    def __init__(self, scale: float):
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.memory = nn.RNN(8, 8, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(8, 3)
        self.memory.weight_hh_l0.data = scale * torch.eye(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.memory(self.words(x))[0][:, -1])


SENTENCES = torch.randint(0, 20, (32, 20)), torch.randint(0, 3, (32,))


def bad_large_weights():
    return check(deep(8), ROWS, select="GRD"), "0"


def bad_recurrence_that_grows():
    return check(Recurrent(1.9), SENTENCES, select="GRD"), "words"


def ok_recurrence_that_keeps_its_size():
    return check(Recurrent(1.0), SENTENCES)


def near_small_weights_before_norms():
    return check(deep(1e-4, norm=True), ROWS, select="GRD102")


def near_head_of_small_weight_besides_another():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.main, self.side = nn.Linear(16, 16), nn.Linear(16, 3), nn.Linear(16, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.trunk(x))
            return self.main(x) + 1e-6 * self.side(x)

    return check(Heads(), ROWS, select="GRD102")


def near_vanishing_is_not_exploding():
    return check(deep(0.1), ROWS, select="GRD102")


def test_one_layer_is_no_verdict():
    assert "fewer than two layers" in check(nn.Linear(16, 3), ROWS).unanswered["GRD102"]
