"""Whether batches come again is told by some of their values."""

import pytest
import torch
from torch import Tensor

from normwise.evidence.batches import Batches, BatchesMeter


def noted(batches: list[Tensor]) -> Batches:
    meter = BatchesMeter("")
    for batch in batches:
        meter.add(batch, measured=True)
    result = meter.result()
    assert result is not None
    return result


def drawn(number: int, *shape: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator) for _ in range(number)]


@pytest.mark.parametrize("shape", [(3,), (4, 3), (64, 8), (16, 3, 20, 20), (130,), (257, 3)])
def test_the_order_of_batches_is_known(shape: tuple[int, ...]):
    first = drawn(5, *shape)
    assert noted(first * 3).ids.tolist() == noted(first).ids.tolist() * 3
    assert noted(first * 3).period == 5
    assert noted(first + first[::-1]).period is None
    assert len(set(noted(first).ids)) == 5


@pytest.mark.parametrize(
    "seen", [lambda x: x.transpose(0, 1), lambda x: x[:, ::2], lambda x: x[1:], lambda x: x.long()]
)
def test_views_and_whole_numbers(seen):
    batches = [seen(40 * batch) for batch in drawn(4, 8, 6)]
    assert noted(batches * 2).period == 4


def test_channels_last():
    batches = [x.to(memory_format=torch.channels_last) for x in drawn(4, 8, 3, 5, 5)]
    assert noted(batches * 2).period == 4


def test_batches_with_holes_are_the_same_again():
    batches = drawn(3, 4, 4)
    for batch in batches:
        batch[0, 0] = torch.nan
    assert noted(batches * 2).period == 3


@pytest.mark.parametrize(
    "odd",
    [
        torch.eye(4).to_sparse(),
        torch.zeros(0, 3),
        torch.ones(4, 3, dtype=torch.complex64),
        torch.ones(4, 3, device="meta"),
    ],
)
def test_what_has_no_plain_values_is_counted_only(odd: Tensor):
    meter = BatchesMeter("")
    for _ in range(4):
        meter.add(odd, measured=False)
    result = meter.result()
    assert result is not None
    assert (result.count, result.period, len(result.ids)) == (4, None, 0)


def test_batches_after_a_gap_are_counted_only():
    meter = BatchesMeter("")
    batches = drawn(3, 4, 2)
    for batch in batches * 2:
        meter.add(batch, measured=False)
    meter.miss()
    for batch in drawn(5, 4, 2)[3:]:
        meter.add(batch, measured=False)
    result = meter.result()
    assert result is not None
    assert (result.count, result.period, len(result.ids)) == (8, 3, 6)


def test_gradients_do_not_follow():
    made = [batch.requires_grad_() * 2 for batch in drawn(3, 4, 2)]
    result = noted(made * 2)
    assert result.period == 3
    assert result.input is None
