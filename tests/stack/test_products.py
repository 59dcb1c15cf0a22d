"""Products that the optimizer computes: into the weights, for any runs of a stack."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from normwise.stack.products import Product


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.data(),
    st.floats(-2, 2, allow_subnormal=False),
    st.floats(-2, 2, allow_subnormal=False),
)
def test_products_are_added_to_any_span_of_runs(
    batches: int, times: int, data: st.DataObject, alpha: float, beta: float
):
    runs = batches * times
    start = data.draw(st.integers(0, runs - 1))
    stop = data.draw(st.integers(start + 1, runs))
    draw = torch.Generator().manual_seed(0)
    left = torch.randn(batches, 3, 5, generator=draw, dtype=torch.float64)
    right = torch.randn(runs, 5, 2, generator=draw, dtype=torch.float64)
    sums = torch.randn(runs, 3, 2, generator=draw, dtype=torch.float64)
    whole = torch.stack([left[run % batches] @ right[run] for run in range(runs)])
    torch.testing.assert_close(Product(left, right).value(), whole)
    expected = sums.clone()
    expected[start:stop] = beta * sums[start:stop] + alpha * whole[start:stop]
    Product(left, right).add_to(sums[start:stop], start, alpha=alpha, beta=beta)
    torch.testing.assert_close(sums, expected)
