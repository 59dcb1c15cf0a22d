import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from normwise.errors import UsageError
from normwise.layers import DropBlock2d
from normwise.layers.noise import draw_mask


def slowly(x: Tensor, p: float, block: int) -> Tensor:
    """The paper's algorithm, position by position, on the centres that the layer draws."""
    n, c, h, w = x.shape
    b = min(block, h, w)
    gamma = p / b**2 * (h * w) / ((h - b + 1) * (w - b + 1))
    centres = draw_mask(x, (n, c, h - b + 1, w - b + 1), 1 - gamma, None) != 0
    mask = torch.ones_like(x)
    for i, j, row, column in centres.nonzero().tolist():
        mask[i, j, row : row + b, column : column + b] = 0
    return x * mask * mask.numel() / max(mask.sum().item(), 1)


@settings(max_examples=40)
@given(
    shape=st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(1, 9)] * 2),
    p=st.floats(0, 1),
    block=st.integers(1, 6),
)
def test_equals_the_algorithm_by_loops(shape: tuple[int, ...], p: float, block: int):
    x = torch.rand(shape, dtype=torch.float64) + 1
    torch.manual_seed(3)
    expected = slowly(x, p, block)
    torch.manual_seed(3)
    torch.testing.assert_close(DropBlock2d(p, block)(x), expected, rtol=1e-12, atol=1e-12)


def test_share_and_mean():
    torch.manual_seed(0)
    y = DropBlock2d(0.1, 5)(torch.ones(50, 20, 28, 28))
    dropped = (y == 0).double().mean().item()
    gamma = 0.1 / 25 * 28 * 28 / (24 * 24)
    inner = 1 - (1 - gamma) ** 25  # where all 25 squares fit around a position
    assert 0.9 * inner * (24 / 28) ** 2 < dropped < 0.1
    assert abs(y.mean().item() - 1) < 1e-5


def test_block_of_one_is_dropout():
    torch.manual_seed(0)
    y = DropBlock2d(0.3, 1)(torch.ones(20, 10, 20, 20))
    assert abs((y == 0).double().mean() - 0.3) < 5 * (0.21 / y.numel()) ** 0.5


def test_half_precision_counts_in_float32():
    torch.manual_seed(0)
    exact = DropBlock2d(0.2, 3)(torch.ones(40, 30, 16, 16))
    torch.manual_seed(0)
    half = DropBlock2d(0.2, 3)(torch.ones(40, 30, 16, 16, dtype=torch.float16))
    assert abs(half.double().max() / exact.max() - 1) < 2**-8


def test_mistakes():
    with pytest.raises(UsageError) as caught:
        DropBlock2d(1.5, 0)
    assert len(caught.value.problems) == 2
    for shape in [(3, 4, 5), (2, 3, 0, 5)]:
        with pytest.raises(UsageError, match=r"maps of shape \(N, C, H, W\)"):
            DropBlock2d()(torch.ones(shape))
