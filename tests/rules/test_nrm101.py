"""Networks for NRM101: a bias that a norm removes again."""

import torch
from torch import Tensor, nn

from normwise.rules import check

IMAGES = torch.randn(64, 3, 8, 8), torch.randint(0, 4, (64,))
ROWS = torch.randn(64, 8), torch.randint(0, 4, (64,))


def images(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


def bad_conv_before_batch_norm():
    return check(images(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)), IMAGES), "0"


def bad_linear_before_batch_norm():
    return check(
        nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 4)), ROWS
    ), "0"


def bad_conv_before_instance_norm():
    return check(images(nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6)), IMAGES), "0"


def bad_conv_before_group_norm_of_single_channels():
    return check(images(nn.Conv2d(3, 6, 3), nn.GroupNorm(6, 6)), IMAGES), "0"


class Branching(nn.Module):
    """A layer whose output goes into a norm and past it."""

    def __init__(self):
        super().__init__()
        self.layer, self.norm, self.head = nn.Linear(8, 6), nn.BatchNorm1d(6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer(x)
        return self.head(torch.relu(self.norm(x) + x))


def ok_without_bias():
    return check(images(nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)), IMAGES)


def near_bias_that_also_goes_past_the_norm():
    return check(Branching(), ROWS)


def near_group_norm_with_several_channels():
    return check(images(nn.Conv2d(3, 6, 3), nn.GroupNorm(2, 6)), IMAGES)


def near_layer_norm():
    return check(nn.Sequential(nn.Linear(8, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 4)), ROWS)


def near_frozen_batch_norm():
    net = images(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6))
    net[1].eval()
    return check(net, IMAGES)


def near_activation_between():
    return check(images(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.BatchNorm2d(6)), IMAGES)
