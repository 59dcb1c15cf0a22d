import pytest
import torch
from torch import nn

from normwise.layers import Dropout


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("inplace", [True, False])
@pytest.mark.parametrize("own", [True, False])
def test_is_torchs_dropout(training: bool, inplace: bool, own: bool):
    x = torch.randn(7, 5, requires_grad=True)
    torch.manual_seed(2)
    expected = nn.Dropout(0.3, inplace).train(training)(x * 1)
    torch.manual_seed(2)
    generator = torch.Generator().manual_seed(2) if own else None
    found = Dropout(0.3, inplace, generator=generator).train(training)(x * 1)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        torch.autograd.grad(found.square().sum(), x),
        torch.autograd.grad(expected.square().sum(), x),
    )


def test_mask_of_the_textbook():
    torch.manual_seed(0)
    kept = Dropout(0.2, scaling="classic")(torch.full((100_000,), 3.0))
    assert set(kept.tolist()) == {0.0, 3.0}
    assert abs((kept == 0).double().mean() - 0.2) < 5 * (0.16 / 100_000) ** 0.5


def test_text():
    assert repr(Dropout(0.1)) == "Dropout(p=0.1, inplace=False)"
    classic = "Dropout(p=0.1, inplace=False, scaling='classic')"
    assert repr(Dropout(0.1, scaling="classic")) == classic
