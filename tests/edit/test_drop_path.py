"""Stochastic depth on residual branches."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normwise import edits, fold, freeze_norm, mc_predict, remove_dropout, unfreeze_norm
from normwise.edit import insert_drop_path
from normwise.errors import UsageError
from normwise.layers import StochasticDepth
from normwise.trace import trace


class Block(nn.Module):
    """A block of a residual network; its shortcut is projected where the channels change."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after)
        self.conv2, self.bn2 = nn.Conv2d(after, after, 3, padding=1), nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = None if before == after else nn.Conv2d(before, after, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.shortcut is None else self.shortcut(x)
        return self.relu(out)


def network() -> Any:
    torch.manual_seed(0)
    blocks = Block(3, 3), Block(3, 5), Block(5, 5)
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2))


IMAGES = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def test_p_grows_up_to_the_last_branch_and_projections_stay():
    net = network()
    expected = net.eval()(IMAGES)
    insert_drop_path(net, 0.4, IMAGES)
    found = {path: m.p for path, m in net.named_modules() if isinstance(m, StochasticDepth)}
    assert found == {"0.bn2.drop_path": 0.2, "2.bn2.drop_path": 0.4}
    assert torch.equal(net.eval()(IMAGES), expected)
    assert [edit.path for edit in edits(net)] == ["0.bn2", "2.bn2"]
    insert_drop_path(net, 0.2, IMAGES)  # no second one
    assert [m.p for m in net.modules() if isinstance(m, StochasticDepth)] == [0.1, 0.2]
    assert edits(net)[-1].done == "p=0.2, which was 0.4"


def test_a_dropped_branch_leaves_the_shortcut_alone():
    net: Any = insert_drop_path(nn.Sequential(Block(3, 3)), 0.5, IMAGES).train()
    depth = net[0].bn2.drop_path
    depth.p = 1.0
    torch.testing.assert_close(net(IMAGES), IMAGES.relu())
    depth.p = 0.5
    reference = copy.deepcopy(net)
    del reference[0].bn2._modules["drop_path"]
    reference[0].bn2._forward_hooks.clear()
    block = reference[0]
    branch = block.bn2(block.conv2(block.relu(block.bn1(block.conv1(IMAGES)))))
    torch.manual_seed(3)
    kept = torch.nn.functional.dropout(torch.ones(4, 1, 1, 1), 0.5)
    assert 0 < kept.count_nonzero() < 4
    torch.manual_seed(3)
    torch.testing.assert_close(net(IMAGES), (branch * kept + IMAGES).relu())


def test_a_branch_that_ends_in_a_function_is_dropped_before_it():
    class Rectified(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            return x + torch.relu(self.fc(x))

    x, net = torch.randn(8, 3), Rectified()
    fc = copy.deepcopy(net.fc)
    insert_drop_path(net, 0.5, x)
    torch.manual_seed(3)
    kept = torch.nn.functional.dropout(torch.ones(8, 1), 0.5)
    assert 0 < kept.count_nonzero() < 8
    torch.manual_seed(3)
    torch.testing.assert_close(net(x), x + kept * torch.relu(fc(x)))


def test_what_knows_dropout_knows_it():
    net = insert_drop_path(network(), 0.5, IMAGES)
    bare = network()
    for module in (net, bare):
        module.train()(IMAGES)
    expected = copy.deepcopy(net).eval()(IMAGES)
    folded = fold(copy.deepcopy(net), IMAGES)
    torch.testing.assert_close(folded(IMAGES), expected, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(module, StochasticDepth) for module in folded.modules())
    torch.manual_seed(0)
    _, std = mc_predict(net, IMAGES, samples=8)
    assert std.min() > 0
    remove_dropout(net, IMAGES)
    assert not any(isinstance(module, StochasticDepth) for module in net.modules())
    assert torch.equal(net.eval()(IMAGES), expected)


def test_a_frozen_norm_goes_on_dropping():
    net: Any = freeze_norm(insert_drop_path(network(), 0.5, IMAGES)).train()
    norm = net[0].bn2
    assert (norm.training, norm.drop_path.training) == (False, True)
    net.eval()
    assert (norm.training, norm.drop_path.training) == (False, False)
    unfreeze_norm(net.train())
    assert (norm.training, norm.drop_path.training) == (True, True)
    trace(net, IMAGES, dropout=False)
    assert norm.drop_path.training


class Function(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.fc(x))


class Transposed(nn.Module):
    """Its residual sum has the batch along the second axis."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        return (x + self.fc(x)).transpose(0, 1)


REFUSED = {
    "has no residual branch": (nn.Sequential(nn.Linear(3, 3), nn.ReLU()), (4, 3)),
    "a residual branch in 1: it ends in a function": (
        nn.Sequential(nn.Linear(3, 3), Function()),
        (4, 3),
    ),
    "whose first axis does not count the samples": (Transposed(), (4, 4, 3)),
    "the network does not run on the example": (Function(), (4, 5)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_refusals_change_nothing(reason: str):
    net, shape = REFUSED[reason]
    before = str(net)
    with pytest.raises(UsageError, match=reason):
        insert_drop_path(net, 0.1, torch.randn(shape))
    assert str(net) == before


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_p_out_of_range(p: float):
    with pytest.raises(UsageError, match=r"droppath=.*lies in \[0, 1\)"):
        insert_drop_path(network(), p, IMAGES)
