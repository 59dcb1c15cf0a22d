"""Networks for GRD101: gradients that vanish on their way to the first layers."""

import torch
from torch import Tensor, nn

from normwise.rules import check

ROWS = torch.randn(64, 16), torch.randint(0, 3, (64,))


def deep(depth: int, activation: type[nn.Module], scale: float = 1.0) -> nn.Module:
    layers = [m for _ in range(depth) for m in (nn.Linear(16, 16), activation())]
    net = nn.Sequential(*layers, nn.Linear(16, 3))
    for layer in net[::2]:
        layer.weight.data *= scale
    return net


class Residual(nn.Module):
    """Layers that each add to what they take."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(12))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + torch.sigmoid(layer(x)) / 12
        return self.head(x)


def bad_deep_sigmoids():
    return check(deep(12, nn.Sigmoid), ROWS, select="GRD"), "0"


def bad_deep_linear_layers_of_small_weights():
    return check(deep(12, nn.Tanh, 0.3), ROWS, select="GRD"), "0"


def ok_shallow():
    return check(deep(2, nn.ReLU), ROWS)


def near_residual_sigmoids():
    return check(Residual(), ROWS)


def near_deep_tanh_that_keeps_its_variance():
    return check(deep(12, nn.Tanh, 3**0.5), ROWS, select="GRD")


def near_frozen_first_layers():
    net = deep(12, nn.Sigmoid)
    for layer in net[:20:2]:
        layer.requires_grad_(False)
    return check(net, ROWS, select="GRD")


class Attention(nn.Module):
    """Attention that is still even: its queries and keys get next to no gradient."""

    def __init__(self, embedded: bool):
        super().__init__()
        self.embed = nn.Linear(16, 16) if embedded else nn.Identity()
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        for layer in (self.query, self.key):
            layer.weight.data *= 1e-4
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).unflatten(1, (4, 4)).tile(1, 1, 4)
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 4
        return self.head((scores.softmax(-1) @ self.value(x)).mean(1))


def near_even_attention():
    return check(Attention(embedded=True), ROWS, select="GRD")


def near_even_attention_to_the_inputs():
    return check(Attention(embedded=False), ROWS, select="GRD")


def test_one_layer_is_no_verdict():
    assert "fewer than two layers" in check(nn.Linear(16, 3), ROWS).unanswered["GRD101"]
