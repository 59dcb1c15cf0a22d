"""Products that are left to the optimizer: their values, and their sum with what there is."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from normwise.stack.products import Product


@given(st.integers(1, 4), st.integers(1, 4))
def test_products_and_their_sums(batches: int, times: int):
    runs = batches * times
    draw = torch.Generator().manual_seed(0)
    left = torch.randn(batches, 3, 5, generator=draw, dtype=torch.float64)
    right = torch.randn(runs, 5, 2, generator=draw, dtype=torch.float64)
    sums = torch.randn(runs, 3, 2, generator=draw, dtype=torch.float64)
    whole = torch.stack([left[run % batches] @ right[run] for run in range(runs)])
    torch.testing.assert_close(Product(left, right).value(), whole)
    expected = sums + whole
    Product(left, right).add_to(sums)
    torch.testing.assert_close(sums, expected)
