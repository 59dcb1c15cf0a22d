import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from normwise.edit.calibrating import Population

SHAPES = [(50, 3), (20, 3, 7), (9, 3, 5, 4), (4, 3, 2, 3, 2), (40, 1, 6), (30, 1)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_moments_of_all_values(shape, dtype):
    torch.manual_seed(0)
    x = (3 + 2 * torch.randn(shape)).to(dtype)
    population = Population(shape[1])
    for batch in x.split([1, 2, shape[0] - 3]):
        population.add(batch)
    axes = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(x.double(), axes, correction=0)
    assert population.count == x.numel() // shape[1]
    torch.testing.assert_close(population.mean, mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(population.variance, variance, rtol=1e-6, atol=0)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(20000, 2), (100, 2, 10, 20), (200, 1, 10, 10), (20000, 1)])
def test_a_mean_of_1e4_leaves_a_variance_of_1(shape, channels_last):
    torch.manual_seed(0)
    x = 1e4 + torch.randn(shape)
    if channels_last and x.ndim == 4:
        x = x.to(memory_format=torch.channels_last)
    population = Population(shape[1])
    for batch in x.split(64):
        population.add(batch)
    axes = [axis for axis in range(x.ndim) if axis != 1]
    truth = x.double().var(axes, correction=0)
    torch.testing.assert_close(population.variance, truth, rtol=1e-5, atol=0)


@pytest.mark.parametrize("shape", [(300, 3), (40, 3, 8, 8)])
def test_any_layout_and_any_start_of_a_batch(shape):
    """Neither an outlier where the sums begin nor strides make a difference."""
    torch.manual_seed(0)
    x = torch.randn(shape) - 50
    x[0] = 1e3
    layouts = [x, x.transpose(0, 1).contiguous().transpose(0, 1)]
    layouts += [x.to(memory_format=torch.channels_last)] if x.ndim == 4 else []
    axes = [axis for axis in range(x.ndim) if axis != 1]
    variance, mean = torch.var_mean(x.double(), axes, correction=0)
    for layout in layouts:
        population = Population(3)
        population.add(layout)
        assert ((population.mean - mean).abs() < 1e-5 * variance.sqrt()).all()
        torch.testing.assert_close(population.variance, variance, rtol=2e-6, atol=0)


def test_every_value_counts_alike_whatever_the_batches():
    torch.manual_seed(0)
    x = torch.randn(1000, 4, dtype=torch.float64).sort(0)[0]
    whole, single = Population(4), Population(4)
    whole.add(x)
    for row in x.split(1):  # more batches than are held apart
        single.add(row)
    torch.testing.assert_close(single.mean, whole.mean, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(single.variance, whole.variance, rtol=1e-12, atol=0)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.floats(-1e6, 1e6))
def test_splits_make_no_difference(sizes, mean):
    torch.manual_seed(0)
    x = mean + torch.randn(sum(sizes), 2, dtype=torch.float64)
    population = Population(2)
    for batch in x.split(sizes):
        population.add(batch)
    variance, means = torch.var_mean(x, 0, correction=0)
    torch.testing.assert_close(population.mean, means, rtol=1e-12, atol=1e-10)
    torch.testing.assert_close(population.variance, variance, rtol=1e-6, atol=1e-9)


def test_a_batch_tells_its_own_moments():
    x = torch.tensor([[1.0], [3.0]])
    mean, variance = Population(1).add(x)
    assert (mean.item(), variance.item()) == (2, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(("mean", "jump"), [(0, 0), (1e4, 0), (0, 1e4), (3, -50)])
def test_normalising_gives_the_moments_as_well(mean, jump, affine, dtype):
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(3, affine=affine).to(dtype)
    if affine:
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    x = mean + torch.randn(2000, 3, dtype=dtype)
    x[900:] += jump  # in the midst of batches that are summed about one value
    population = Population(3)
    for batch in x.split(15):  # the last one is shorter
        assert population.takes_normalised(batch, norm)
        found = population.add_normalised(batch, norm)
        truth = F.batch_norm(
            batch.double(),
            None,
            None,
            norm.weight.double() if affine else None,
            norm.bias.double() if affine else None,
            training=True,
        )
        far = 1e-6 * abs(jump)  # from there values are subtracted, as torch's own kernel does
        torch.testing.assert_close(found.double(), truth, rtol=0, atol=1e-4 + far)
    variance, means = torch.var_mean(x.double(), 0, correction=0)
    assert population.count == 2000
    assert ((population.mean - means).abs() < 1e-6 * variance.sqrt()).all()
    torch.testing.assert_close(population.variance, variance, rtol=1e-6, atol=0)


def test_what_is_not_normalised_here():
    norm, population = nn.BatchNorm1d(4), Population(4)
    x = torch.randn(8, 4)
    assert population.takes_normalised(x, norm)
    for other in (
        x.double(),
        x.bfloat16(),
        x[:1],
        x[:0],
        x[:, :1],
        torch.randn(4, 8).t(),
        torch.randn(8, 4, 2),
        torch.randn(3000, 4),
    ):
        assert not population.takes_normalised(other, norm)
    assert not population.takes_normalised(x.bfloat16(), norm.bfloat16())
