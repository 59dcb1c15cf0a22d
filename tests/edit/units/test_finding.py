"""Which units belong together, network by network, told by their sizes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.edit import insert_dropout, insert_norm
from normwise.edit.units import Slot, find_units
from normwise.trace import Call
from normwise.trace.functions import ACTIVATION_NAMES


def found(net: nn.Module, *shape: int) -> dict[str, dict[str, tuple[int, int]]]:
    """For each group its slots, and for each of them (units, positions per unit)."""
    groups = find_units(net, Call.of(torch.randn(shape))).groups
    return {
        group.name: {f"{slot.name}:{slot.axis}": its.shape for slot, its in group.slots.items()}
        for group in groups
    }


class Apply(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def test_norms_biases_and_flattened_columns_belong_to_a_channel():
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2)
    assert found(nn.Sequential(*layers), 2, 3, 5, 5) == {
        "0": {
            **dict.fromkeys(("0.weight:0", "0.bias:0", "1.weight:0", "1.bias:0"), (4, 1)),
            "4.weight:1": (4, 9),
            "1.running_mean:0": (4, 1),
            "1.running_var:0": (4, 1),
        }
    }


def test_a_channels_columns_lie_as_the_flatten_has_put_them():
    for function, first in (
        (lambda x: x.flatten(1), [0, 1, 2, 3]),
        (lambda x: x.permute(0, 2, 3, 1).flatten(1), [0, 3, 6, 9]),
        (lambda x: x.transpose(1, 2).reshape(len(x), -1), [0, 1, 6, 7]),
    ):
        net = nn.Sequential(nn.Conv2d(2, 3, 1), Apply(function), nn.Linear(12, 2))
        [group] = find_units(net, Call.of(torch.randn(2, 2, 2, 2))).groups
        assert group.slots[Slot("2.weight", 1)][0].tolist() == first


def test_groups_of_convolutions_and_norms_are_single_units():
    layers = nn.Conv2d(2, 8, 1), nn.GroupNorm(4, 8), nn.Conv2d(8, 16, 1, groups=2), nn.ReLU()
    [slots] = found(nn.Sequential(*layers, nn.Conv2d(16, 2, 1)), 2, 2, 3, 3).values()
    assert slots == {
        **dict.fromkeys(("0.weight:0", "0.bias:0", "1.weight:0", "1.bias:0"), (2, 4)),
        **dict.fromkeys(("2.weight:0", "2.bias:0", "4.weight:1"), (2, 8)),
    }


def test_what_our_own_edits_insert_belongs_to_the_layer_that_hosts_it():
    net, x = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)), torch.randn(3, 4)
    net = insert_dropout(insert_norm(net, "batch", x), 0.5, x)
    slots = found(net, 3, 4)["0"]
    assert {"0.norm.weight:0", "0.norm.running_var:0", "2.weight:1"} <= slots.keys()


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_every_activation_lets_units_through(name):
    arguments = {"threshold": (0.1, 0.0), "prelu": (torch.full((1,), 0.2),)}.get(name, ())
    act = Apply(lambda x: getattr(F, name)(x, *arguments))
    net = nn.Sequential(nn.Linear(4, 6), act, nn.Linear(6, 2))
    assert found(net, 3, 4)["0"]["2.weight:1"] == (6, 1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.max_pool1d(x, 2),
        lambda x: F.avg_pool1d(x, 2),
        lambda x: F.adaptive_avg_pool1d(x, 2),
        lambda x: F.adaptive_max_pool1d(x, 2),
        lambda x: F.interpolate(x, scale_factor=2),
        lambda x: F.interpolate(x, size=4, mode="linear"),
        lambda x: F.pad(x, (1, 1)),
        lambda x: F.pad(x, (1, 1), mode="reflect"),
        lambda x: F.softmax(x, -1),
        lambda x: F.instance_norm(x),
        lambda x: x - x.mean(-1, keepdim=True),
        lambda x: x[:, :, ::2],
        lambda x: torch.stack([x, x], -1).flatten(2),
        lambda x: torch.cat([x, x], 2),
        lambda x: x.cumsum(2),
        lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
        lambda x: x.unsqueeze(1).squeeze(1).clone().contiguous(),
        lambda x: x * torch.rand(len(x), 1, 1),
        lambda x: x.add_(1).mul_(2),
    ],
)
def test_what_acts_on_positions_lets_channels_through(function):
    net = nn.Sequential(nn.Conv1d(2, 3, 1), Apply(function), nn.Conv1d(3, 2, 1))
    assert found(net, 2, 2, 6)["0"]["2.weight:1"] == (3, 1)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: F.softmax(x, 1), "mixed or cut by _softmax"),
        (lambda x: x - x.mean(1, keepdim=True), "reduced to one value by mean"),
        (lambda x: x[:, 1:].repeat(1, 2, 1)[:, :4], "mixed or cut by slice"),
        (lambda x: x.flip(1), "passed to flip, which mixes or reorders them"),
        (lambda x: x + torch.ones(4)[:, None], "has as many units as something of fixed size"),
        (lambda x: F.pad(x, (0, 0, 1, 1))[:, 1:5], "positions that constant_pad_nd combines"),
        (lambda x: F.layer_norm(x, (4, 6)), "normalised together by layer_norm"),
        (lambda x: F.group_norm(x, 1), "normalised together by group_norm"),
        (lambda x: x.view(2, 2, 2, 6).transpose(1, 2).reshape(2, 4, 6), "split over several axes"),
    ],
)
def test_what_mixes_channels_fixes_them(function, reason):
    net = nn.Sequential(nn.Conv1d(2, 4, 1), Apply(function), nn.Conv1d(4, 2, 1))
    left = find_units(net, Call.of(torch.randn(2, 2, 6))).left
    assert left["0"].startswith(reason)


def test_a_single_unit_that_is_spread_over_many_is_fixed():
    layers = nn.Conv1d(2, 1, 1), Apply(lambda x: x.expand(-1, 4, -1)), nn.Conv1d(4, 2, 1)
    left = find_units(nn.Sequential(*layers), Call.of(torch.randn(2, 2, 6))).left
    assert left["0"] == "a single unit that expand combines with many"
