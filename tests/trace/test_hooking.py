"""Hooks that come first in and first out, and are gone afterwards."""

import pytest
from torch import Tensor, nn, ones

from normwise.trace import hooked


class Raises(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("on purpose")


def count(network: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def test_modules_are_entered_and_left_in_order_also_where_a_forward_raises():
    told: list[str] = []
    network = nn.Sequential(nn.Linear(2, 2), Raises())
    names = {module: path for path, module in network.named_modules()}
    network[0].register_forward_hook(lambda module, inputs, output: told.append("guest"))
    network[0].register_forward_pre_hook(lambda module, inputs: told.append("first guest"))
    before = count(network)
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        hooked(
            network,
            lambda path: lambda module, inputs: told.append(f"enter {path}"),
            lambda module, inputs, output: told.append(f"leave {names[module]}"),
        ),
    ):
        network(ones(1, 2))
    assert told == [
        *("enter ", "enter 0", "first guest", "leave 0", "guest"),
        *("enter 1", "leave 1", "leave "),
    ]
    assert count(network) == before


def test_other_hooks_can_count_as_a_part_of_the_module():
    told: list[str] = []
    network = nn.Linear(2, 2)
    network.register_forward_hook(lambda module, inputs, output: told.append("other"))
    network.register_forward_pre_hook(lambda module, inputs: told.append("other, before"))
    with hooked(
        network,
        lambda _: lambda module, inputs: told.append("enter"),
        lambda module, inputs, output: told.append("leave"),
        around_others=True,
    ):
        network(ones(1, 2))
    assert told == ["enter", "other, before", "other", "leave"]


def test_inputs_by_name_are_told_as_well():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, x, scale):
            return self.norm(input=x * scale)

    seen = []
    x = ones(3, 2)

    def enter(path):
        return lambda module, inputs: seen.append((path, "in", inputs))

    def leave(module, inputs, output):
        seen.append((type(module).__name__, "out", inputs))

    with hooked(net := Named(), enter, leave):
        net(x, scale=2.0)
    assert [(where, when, len(inputs)) for where, when, inputs in seen] == [
        ("", "in", 1),
        ("norm", "in", 1),
        ("BatchNorm1d", "out", 1),
        ("Named", "out", 1),
    ]
    assert seen[1][2][0].tolist() == (2 * x).tolist()
