"""Every batch is full, every epoch a shuffle, every seed another one."""

import pytest
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


@pytest.mark.parametrize("kind", ["fixed", "sorted"])
@given(samples=st.integers(1, 60), batch_size=st.integers(1, 80), seed=st.integers(0, 2**40))
def test_kept_batches_meet_again_in_another_turn(
    kind: str, samples: int, batch_size: int, seed: int
):
    order = Order(samples, batch_size, seed, kind, torch.arange(samples) % 3)
    epochs = [order.next_epoch() for _ in range(3)]
    size = min(samples, batch_size)
    assert all(epoch.shape == (samples // size, size) for epoch in epochs)
    assert len(set(epochs[0].flatten().tolist())) == epochs[0].numel()
    batches = [sorted(map(tuple, epoch.tolist())) for epoch in epochs]
    assert batches[0] == batches[1] == batches[2]
    if len(epochs[0]) > 8:
        assert not torch.equal(epochs[0], epochs[1])


@given(samples=st.integers(1, 60), batch_size=st.integers(1, 80), seed=st.integers(0, 2**40))
def test_sorted_batches_are_runs_of_the_sorted_labels(samples: int, batch_size: int, seed: int):
    labels = torch.randint(4, (samples,), generator=torch.Generator().manual_seed(seed))
    epoch = Order(samples, batch_size, seed, "sorted", labels).next_epoch()
    batches = sorted(sorted(labels[batch].tolist()) for batch in epoch)
    joined = [label for batch in batches for label in batch]
    assert joined == sorted(joined)


def test_what_sorting_leaves_out_is_drawn_from_all_classes():
    labels = torch.arange(2).repeat_interleave(50)
    left = [
        set(range(100)) - set(Order(100, 60, seed, "sorted", labels).next_epoch()[0].tolist())
        for seed in range(5)
    ]
    assert all({labels[sample].item() for sample in each} == {0, 1} for each in left)
    assert len({frozenset(each) for each in left}) == 5


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
