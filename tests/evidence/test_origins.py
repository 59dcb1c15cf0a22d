"""On which line modules are made, and what they belong to."""

from pathlib import Path

import torch
from torch import nn
from torch.nn.modules import module as torch_module

from normwise.evidence import Origins


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(3, 4),
            nn.ReLU(),
        )
        self.drop = nn.Dropout()


def line_of(text: str) -> int:
    lines = Path(__file__).read_text("utf-8").splitlines()
    return next(i for i, line in enumerate(lines, start=1) if line.strip() == text)


def test_places_are_lines_of_this_file():
    with Origins() as origins:
        net = Net()
    places = {path: origins.place(net, path) for path in ("body.0", "body.0.bias", "body.1:relu")}
    numbers = {path: int(place.rpartition(":")[2]) for path, place in places.items()}
    assert all(place.rpartition(":")[0].endswith("test_origins.py") for place in places.values())
    assert numbers["body.0"] == numbers["body.0.bias"] == line_of("nn.Linear(3, 4),")
    assert numbers["body.1:relu"] == line_of("self.body = nn.Sequential(")
    assert origins.place(net, "nowhere.weight") == ""
    assert origins.place(net, "") == ""  # no module took the network in


def test_the_root_is_the_outermost_holder_that_is_still_there():
    with Origins() as origins:
        net = Net()
        wrapper = nn.ModuleDict({"net": net})
    assert origins.root(net.body[0]) is wrapper
    del wrapper
    assert origins.root(net.body[0]) is net


def test_what_holds_itself_has_a_root():
    with Origins() as origins:
        first, second = Net(), Net()
        first.other, second.other = second, first
    assert origins.root(first) in (first, second)


def test_no_hook_stays_and_nothing_is_noted_afterwards():
    with Origins() as origins:
        pass
    assert not torch_module._global_module_registration_hooks
    assert not torch_module._global_parameter_registration_hooks
    assert origins.place(Net(), "body.0") == ""


def test_building_draws_the_same_random_numbers():
    torch.manual_seed(0)
    plain = Net()
    torch.manual_seed(0)
    with Origins():
        noted = Net()
    assert torch.equal(plain.body[0].weight, noted.body[0].weight)
