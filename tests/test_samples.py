"""Samples keep their form, whatever is done to their tensors."""

import pytest
import torch

from normwise.samples import each, forward, like, tensors

A, B = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
FORMS = {"tensor": A, "tuple": (A, B), "dict": {"a": A, "b": B}}


@pytest.mark.parametrize("samples", FORMS.values(), ids=FORMS)
def test_each_changes_the_tensors_and_keeps_the_form(samples):
    doubled = each(samples, lambda tensor: 2 * tensor)
    assert type(doubled) is type(samples)
    for before, after in zip(tensors(samples), tensors(doubled), strict=True):
        assert torch.equal(after, 2 * before)
    if isinstance(samples, dict):
        assert list(doubled) == list(samples)


@pytest.mark.parametrize("samples", FORMS.values(), ids=FORMS)
def test_like_puts_tensors_where_others_were(samples):
    zeros = [torch.zeros(1) for _ in tensors(samples)]
    replaced = like(samples, zeros)
    assert type(replaced) is type(samples)
    assert all(a is b for a, b in zip(tensors(replaced), zeros, strict=True))


def test_a_network_gets_what_it_is_called_with():
    def network(a, b=B):
        return a - b

    assert torch.equal(forward(network, A), A - B)
    assert torch.equal(forward(network, (A, B)), A - B)
    assert torch.equal(forward(network, {"b": A, "a": B}), B - A)
