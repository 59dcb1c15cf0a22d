import pytest
import torch

from normwise.errors import UsageError
from normwise.layers import StochasticDepth


def test_samples_are_dropped_whole():
    torch.manual_seed(0)
    x = torch.full((5000, 3, 2, 2), 2.0)
    ratio = StochasticDepth(0.3)(x) / x
    masks = ratio[:, 0, 0, 0]
    assert torch.equal(ratio, masks.view(-1, 1, 1, 1).expand_as(ratio))
    torch.testing.assert_close(masks.unique(), torch.tensor([0.0, 1 / 0.7]), rtol=1e-5, atol=0)
    assert abs((masks == 0).double().mean() - 0.3) < 5 * (0.21 / 5000) ** 0.5


def test_or_the_batch_as_one():
    torch.manual_seed(0)
    layer = StochasticDepth(0.3, "batch")
    draws = torch.stack([layer(torch.ones(4, 3)) for _ in range(2000)])
    assert torch.equal(draws, draws[:, :1, :1].expand_as(draws))
    assert abs((draws[:, 0, 0] == 0).double().mean() - 0.3) < 5 * (0.21 / 2000) ** 0.5


def test_mistakes():
    with pytest.raises(UsageError, match=r"mode='rows'\): use row or batch"):
        StochasticDepth(0.1, "rows")
    with pytest.raises(UsageError, match="takes a batch"):
        StochasticDepth(0.1)(torch.tensor(1.0))


def test_text():
    assert repr(StochasticDepth(0.1)) == "StochasticDepth(p=0.1, inplace=False, mode='row')"
