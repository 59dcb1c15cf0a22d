"""Networks for ACT103: two layers with nothing nonlinear between them."""

import torch
from torch import Tensor, nn

from normwise.rules import check

ROWS = torch.randn(64, 8), torch.randint(0, 4, (64,))
IMAGES = torch.randn(16, 3, 8, 8), torch.randint(0, 4, (16,))


def images(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


class Using(nn.Module):
    """A layer whose output has another use besides the next layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.head(torch.relu(x + self.second(x)))


def bad_linear_layers():
    return check(nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4)), ROWS), "1"


def bad_dropout_and_reshaping_between():
    net = nn.Sequential(
        *(nn.Linear(8, 16), nn.Dropout(0.1), nn.Unflatten(1, (4, 4)), nn.Flatten()),
        *(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)),
    )
    return check(net, ROWS), "4"


def bad_convolutions_around_a_batch_norm():
    net = images(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3))
    return check(net, IMAGES, select="ACT103"), "2"


def ok_activation_between():
    return check(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), ROWS)


def near_bottleneck():
    net = nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 4))
    return check(net, ROWS)


def near_depthwise_convolution():
    return check(images(nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 6, 1)), IMAGES)


def near_convolution_in_two_directions():
    return check(images(nn.Conv2d(3, 6, (1, 3)), nn.Conv2d(6, 6, (3, 1))), IMAGES)


def near_output_with_another_use():
    return check(Using(), ROWS)


def near_head_on_frozen_features():
    net = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))
    net[0].requires_grad_(False)
    return check(net, ROWS)


def near_layer_norm_between():
    return check(nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 4)), ROWS)


def near_max_pool_between():
    return check(images(nn.Conv2d(3, 6, 3), nn.MaxPool2d(2), nn.Conv2d(6, 6, 1)), IMAGES)
