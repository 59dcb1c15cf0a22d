import pytest
import torch
from torch import Tensor, nn

from normwise.errors import UsageError
from normwise.layers import Dropout, LockedDropout, StochasticDepth, Uout
from normwise.layers.noise import draw_mask


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_out_of_range(p: float):
    with pytest.raises(UsageError, match=r"Uout\(p=.*\): p lies between 0 and 1"):
        Uout(p)


def test_all_mistakes_at_once():
    with pytest.raises(UsageError) as caught:
        StochasticDepth(2.0, "column", scaling="clasic")
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "StochasticDepth(mode='column')",
        "StochasticDepth(scaling='clasic')",
        "StochasticDepth(p=2.0)",
    ]


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_a_generator_draws_what_torchs_state_would(p: float):
    x = torch.zeros(3)
    torch.manual_seed(7)
    expected = draw_mask(x, (50, 4), p, None)
    found = draw_mask(x, (50, 4), p, torch.Generator().manual_seed(7))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("make", [Dropout, LockedDropout, StochasticDepth])
@pytest.mark.parametrize("inplace", [False, True])
def test_classic_scaling_is_the_inverted_one_times_what_is_kept(make, inplace: bool):
    x = torch.rand(6, 5, 4).double() + 1
    found = {}
    for scaling in ("inverted", "classic"):
        layer = make(0.25, inplace=inplace, scaling=scaling)
        torch.manual_seed(0)
        found[scaling] = [layer(x.clone()), layer.eval()(x.clone())]
    trained, evaluated = (a * 0.75 for a in found["inverted"])
    torch.testing.assert_close(found["classic"], [trained, evaluated], rtol=1e-12, atol=0)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.35, 0.7])
def test_what_classic_scaling_keeps_is_kept_bit_for_bit(p: float):
    assert set(Dropout(p, scaling="classic")(torch.ones(99)).tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("scaling", ["inverted", "classic"])
def test_inplace_writes_to_the_input(scaling: str):
    x = torch.ones(4, 5)
    for layer in (Dropout(0.5, True, scaling=scaling), Uout(0.5, True)):
        assert layer(x) is x
    assert not torch.equal(x, torch.ones(4, 5))


def test_everything_is_dropped_at_one_and_nothing_at_zero():
    x = torch.randn(5, 4, 3)
    for make in (Dropout, LockedDropout, StochasticDepth):
        for scaling in ("inverted", "classic"):
            assert torch.equal(make(0.0, scaling=scaling)(x), x)
            assert not make(1.0, scaling=scaling)(x).any()


def test_who_looks_for_torchs_dropouts_finds_it():
    assert isinstance(Uout(), nn.modules.dropout._DropoutNd)


def test_mean_of_the_noise_is_one():
    torch.manual_seed(0)
    x: Tensor = torch.ones(400_000).view(-1, 10, 1)
    for layer in (Dropout(0.3), StochasticDepth(0.3), LockedDropout(0.3, batch_first=True)):
        assert abs(layer(x).mean() - 1) < 5 * (0.3 / 0.7 / 40_000) ** 0.5
