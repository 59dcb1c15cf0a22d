"""Products that are left to the optimizer: their values, and their sum with what there is."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from normwise.stack.products import Product


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3, 100]))
def test_products_and_their_sums(batches: int, times: int, different: int):
    runs = batches * times
    draw = torch.Generator().manual_seed(0)
    left = torch.randn(batches, 3, 5, generator=draw, dtype=torch.float64)
    right = torch.randn(runs, 5, 2, generator=draw, dtype=torch.float64)
    sums = torch.randn(runs, 3, 2, generator=draw, dtype=torch.float64)
    whole = torch.stack([left[run % batches] @ right[run] for run in range(runs)])
    torch.testing.assert_close(Product(left, right).value(), whole)
    factors = [0.5 * (run // batches % different) - run % different for run in range(runs)]
    expected = sums + whole * torch.tensor(factors).double()[:, None, None]
    Product(left, right).add_to(sums, factors)
    torch.testing.assert_close(sums, expected)
