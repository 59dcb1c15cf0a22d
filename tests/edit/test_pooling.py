import torch
from hypothesis import given
from hypothesis import strategies as st

from normwise.edit import pooling
from normwise.edit.pooling import Pool, joined


def part(x: torch.Tensor) -> tuple[int, torch.Tensor, torch.Tensor]:
    return len(x), x.mean(0), x.var(0, correction=0)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9), st.floats(-1e4, 1e4))
def test_parts_join_to_the_whole(sizes, mean):
    torch.manual_seed(0)
    x = mean + torch.randn(sum(sizes), 2, 3, dtype=torch.float64)
    count, means, variances = joined([part(piece) for piece in x.split(sizes)])
    assert count == len(x)
    torch.testing.assert_close(means, x.mean(0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(variances, x.var(0, correction=0), rtol=1e-8, atol=1e-12)


def test_complex_values():
    x = torch.randn(7, 2, dtype=torch.complex64)
    _, mean, variance = joined([part(piece) for piece in x.split(3)])
    torch.testing.assert_close(mean.to(x.dtype), x.mean(0))
    torch.testing.assert_close(variance.float(), x.var(0, correction=0))


def test_parts_without_values():
    nothing = 0, torch.zeros(2), torch.zeros(2)
    assert joined([nothing, nothing]) is nothing
    x = torch.randn(5, 2, dtype=torch.float64)
    _, mean, _ = joined([nothing, part(x)])
    assert torch.equal(mean, x.mean(0))


def test_few_values_are_held_at_a_time(monkeypatch):
    monkeypatch.setattr(pooling, "_MOST_HELD", 10)
    pool, x = Pool(), torch.randn(40, 4, dtype=torch.float64)
    for piece in x.split(2):
        pool.add(part(piece))
        assert len(pool._parts) <= 2
    torch.testing.assert_close(pool.joined()[1:], part(x)[1:])
