"""Random changes of samples, against scipy.ndimage and numpy."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats
from torch import Tensor

from normwise.data import Augmentation, Erase, Noise, Rotate, Shift

SIZES = st.integers(1, 7)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 3), SIZES, SIZES)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(shape: tuple[int, ...], seed: int = 7) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=torch.float64)


@settings(deadline=None)
@given(shape=SHAPES, pixels=st.integers(0, 9), seed=st.integers(0, 99))
def test_a_shift_is_that_of_scipy(shape: tuple[int, ...], pixels: int, seed: int):
    x = images(shape)
    moves = Shift(pixels).draw(x, generator(seed))
    shifted = Shift.apply(x, moves)
    for image, out, move in zip(x, shifted, moves, strict=True):
        expected = ndimage.shift(image.numpy(), (0, *move.tolist()), order=0, mode="nearest")
        np.testing.assert_array_equal(out.numpy(), expected)
    assert moves.abs().max() <= pixels


@settings(deadline=None)
@given(shape=SHAPES, degrees=st.floats(0, 180), seed=st.integers(0, 99))
def test_a_rotation_is_that_of_scipy(shape: tuple[int, ...], degrees: float, seed: int):
    x = images(shape)
    angles = Rotate(degrees).draw(x, generator(seed))
    turned = Rotate.apply(x, angles)
    for image, out, angle in zip(x, turned, angles, strict=True):
        for channel, ours in zip(image.numpy(), out.numpy(), strict=True):
            theirs = ndimage.rotate(
                channel, math.degrees(angle), reshape=False, order=1, mode="nearest"
            )
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)
    assert angles.abs().max() <= math.radians(degrees)


@settings(deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 99))
def test_a_rectangle_is_erased(shape: tuple[int, ...], seed: int):
    x = images(shape)
    places = Erase().draw(x, generator(seed))
    expected = x.numpy().copy()
    for image, (top, left, height, width) in zip(expected, places.tolist(), strict=True):
        image[:, top : top + height, left : left + width] = 0
        assert 0 <= top <= top + height <= shape[2]
        assert 0 <= left <= left + width <= shape[3]
    np.testing.assert_array_equal(Erase.apply(x, places).numpy(), expected)


def test_what_is_drawn_is_distributed_as_told():
    x = torch.zeros(20_000, 1, 40, 40)[:, :, :1, :1].expand(-1, -1, 40, 40)
    moves = Shift(2).draw(x, generator()).numpy()
    assert stats.chisquare(np.bincount(moves[:, 0] + 2)).pvalue > 0.01
    assert stats.chisquare(np.bincount(moves[:, 1] + 2)).pvalue > 0.01
    angles = Rotate(30).draw(x, generator()).numpy()
    assert stats.kstest(np.degrees(angles), stats.uniform(-30, 60).cdf).pvalue > 0.01
    noise = Noise(0.3).draw(torch.zeros(20_000, 1), generator()).flatten().numpy()
    assert stats.kstest(noise, stats.norm(0, 0.3).cdf).pvalue > 0.01
    sides = Erase().draw(x, generator())[:, 2:].double()
    erased = sides[sides[:, 0] > 0]
    assert len(erased) == pytest.approx(10_000, abs=300)
    inside = erased[(erased < 40).all(1)]  # nothing was cut off
    area = (inside.prod(1) / 40**2).numpy()
    assert 0.015 < area.min() < 0.03
    assert 0.31 < area.max() < 0.35
    # The logarithm of the ratio is uniform; wide and tall are alike.
    assert float((erased[:, 0] / erased[:, 1]).log().mean()) == pytest.approx(0, abs=0.03)


def test_where_the_rectangle_stands_is_uniform():
    x = torch.zeros(20_000, 1, 4, 4)
    top, _, height, _ = Erase().draw(x, generator(1)).T
    starts = top[height == 2]
    assert stats.chisquare(np.bincount(starts.numpy(), minlength=3)).pvalue > 0.01


ALL = [Noise(0.5), Shift(2), Rotate(40), Erase()]


@pytest.mark.parametrize("transform", ALL, ids=str)
def test_samples_are_drawn_for_one_by_one_and_the_batch_stays(transform: Augmentation):
    x = images((6, 2, 5, 5))
    before = x.clone()
    numbers = transform.draw(x, generator(3))
    assert len(numbers) == 6
    changed = transform.apply(x, numbers)
    assert torch.equal(x, before)
    assert not torch.equal(changed, x)
    assert changed.dtype == x.dtype
    for place in range(6):
        alone = transform.apply(x[place : place + 1], numbers[place : place + 1])
        torch.testing.assert_close(alone[0], changed[place], rtol=1e-14, atol=1e-14)
    assert torch.equal(numbers, transform.draw(x, generator(3)))


@pytest.mark.parametrize("transform", [Noise(0.0), Shift(0), Rotate(0.0)], ids=str)
def test_nothing_much_is_nothing(transform: Augmentation):
    x = images((3, 1, 6, 4))
    torch.testing.assert_close(transform.apply(x, transform.draw(x, generator())), x)


@pytest.mark.parametrize(
    ("transform", "x", "told"),
    [
        (Noise(0.1), torch.zeros(3, 5, dtype=torch.long), "floating-point numbers are needed"),
        (Shift(1), torch.zeros(3, 5), "images (C, H, W) are needed, and a sample has shape (5,)"),
        (Rotate(1), torch.zeros(3, 5, 5), "a sample has shape (5, 5)"),
        (Erase(), torch.zeros(3, 1, 5, 5, dtype=torch.uint8), "these hold uint8"),
        (Shift(5), torch.zeros(3, 1, 5, 8), "images of 5 x 8 would be shifted out of sight"),
    ],
)
def test_samples_that_do_not_fit(transform: Augmentation, x: Tensor, told: str):
    assert re.search(re.escape(told), transform.misfit(x) or "")


def test_samples_that_fit():
    assert Noise(1.0).misfit(torch.zeros(3, 5)) is None
    for transform in ALL:
        assert transform.misfit(torch.zeros(3, 1, 5, 5)) is None
