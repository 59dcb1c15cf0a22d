"""Every batch is full, every epoch a shuffle, every seed another one."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from normwise.stack import Order


@given(samples=st.integers(1, 60), batch_size=st.integers(1, 80), seed=st.integers(0, 2**40))
def test_epochs_are_shuffles_in_full_batches(samples: int, batch_size: int, seed: int):
    order, again = (Order(samples, batch_size, seed) for _ in range(2))
    size = min(samples, batch_size)
    for _ in range(3):
        epoch = order.next_epoch()
        assert epoch.shape == (order.steps_per_epoch, size) == (samples // size, size)
        drawn = epoch.flatten().tolist()
        assert len(set(drawn)) == len(drawn)
        assert set(drawn) <= set(range(samples))
        assert torch.equal(epoch, again.next_epoch())


def test_seeds_and_epochs_differ():
    epochs = [order.next_epoch() for order in (Order(50, 10, s) for s in (0, 1)) for _ in "ab"]
    assert len({tuple(epoch.flatten().tolist()) for epoch in epochs}) == 4


def test_left_over_samples_get_their_turn():
    order = Order(10, 4, 0)
    seen = torch.cat([order.next_epoch().flatten() for _ in range(12)])
    assert set(seen.tolist()) == set(range(10))


def test_global_random_numbers_have_no_influence():
    torch.manual_seed(1)
    first = Order(50, 10, 3).next_epoch()
    torch.manual_seed(2)
    assert torch.equal(first, Order(50, 10, 3).next_epoch())
