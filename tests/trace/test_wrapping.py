"""Networks are found inside what torch wraps around them."""

import pytest
import torch
from torch import nn

from normwise.trace import unwrapped


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: net,
        nn.DataParallel,
        torch.compile,
        lambda net: torch.compile(nn.DataParallel(net)),
        lambda net: nn.DataParallel(torch.compile(net)),
    ],
)
def test_any_wrappers(wrap):
    net = nn.Sequential(nn.Linear(2, 2))
    assert unwrapped(wrap(net)) is net


def test_a_users_own_wrapper_is_a_network():
    net = nn.Sequential(nn.DataParallel(nn.Linear(2, 2)))
    assert unwrapped(net) is net
