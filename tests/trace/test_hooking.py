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
