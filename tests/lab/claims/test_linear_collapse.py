import pytest
import torch
from torch import nn

import normwise as nw
from normwise.lab import ERRATA


def test_the_claim_holds():
    result = nw.lab.run("linear-collapse")
    assert result.verdict == "holds"
    table = result.frame().pivot_table(index="of", columns="what", values="estimate", sort=False)
    assert table["rank"].tolist() == [1, 2, 4, 8, 10]  # the ten outputs bound the last one
    assert table["largest |stack − one layer|"].max() < 1e-13
    assert table["largest difference with ReLU"].min() > 1e-3


def test_a_stack_maps_differences_as_one_matrix_does():
    """Independent of any product: an affine map's increments add up, a ReLU network's do not."""
    torch.manual_seed(0)
    first, last = nn.Linear(5, 7).double(), nn.Linear(7, 3).double()
    a, b, zero = torch.randn(5).double(), torch.randn(5).double(), torch.zeros(5).double()

    def gap(between: nn.Module) -> float:
        net = nn.Sequential(first, between, last)
        return (net(a + b) - net(a) - net(b) + net(zero)).abs().max().item()

    assert gap(nn.Identity()) < 1e-14
    assert gap(nn.ReLU()) > 1e-3


def test_erratum_13_as_torch_answers():
    assert not hasattr(torch, "inference_model")
    with torch.inference_mode():
        assert torch.ones(1).is_inference()

    class Wrong(nn.Module):
        def __init__(self) -> None:
            super(nn.Linear, self).__init__()

    with pytest.raises(TypeError, match="super"):
        Wrong()
    images = torch.zeros(2, 1, 28, 28)
    layer = nn.Linear(784, 10)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        layer(images)
    assert layer(images.flatten(1)).shape == (2, 10)
    assert "flattened" in ERRATA[13].right
