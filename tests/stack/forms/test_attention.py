"""Attention with dropout, against the formula and against torch's own random numbers."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms import DropoutForms, Masks, Streams

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"is_causal": True},
    "scaled": {"scale": 0.3},
    "hidden": {"attn_mask": torch.rand(5, 6, generator=torch.Generator().manual_seed(0)) > 0.3},
    "added": {"attn_mask": torch.randn(5, 6, generator=torch.Generator().manual_seed(0)).double()},
}


@pytest.mark.parametrize("name", CASES)
def test_attention_with_torchs_own_masks(name: str, draw: Any):
    query, key, value = draw(2, 3, 5, 4), draw(2, 3, 6, 4), draw(2, 3, 6, 4)
    options = CASES[name]
    torch.manual_seed(3)
    expected = F.scaled_dot_product_attention(query, key, value, dropout_p=0.4, **options)
    sites = Masks()
    with DropoutForms(sites):
        whole = F.scaled_dot_product_attention(query, key, value, dropout_p=0.4, **options)
    assert [(site.shape, site.numbers) for site in sites.sites] == [((2, 3, 5, 6), (0.4,))]
    torch.testing.assert_close(whole, F.scaled_dot_product_attention(query, key, value, **options))
    masks = Streams([3], torch.device("cpu")).draw(sites.sites)
    with DropoutForms(Masks([mask[0] for mask in masks])):
        ours = F.scaled_dot_product_attention(query, key, value, dropout_p=0.4, **options)
    torch.testing.assert_close(ours, expected)
    assert not torch.allclose(ours, whole)


@pytest.mark.filterwarnings("ignore:There is a performance drop")  # torch.vmap's own way
@pytest.mark.parametrize("name", CASES)
def test_attention_of_many_runs(name: str, agree: Any, draw: Any):
    def function(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, **CASES[name])

    agree(function, draw(3, 2, 3, 5, 4), draw(3, 2, 3, 6, 4), draw(3, 2, 3, 6, 4))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_grouped_queries_are_torchs(agree: Any, draw: Any):
    def function(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(query, key, value, enable_gqa=True)

    agree(function, draw(3, 2, 4, 5, 4), draw(3, 2, 2, 6, 4), draw(3, 2, 2, 6, 4))
