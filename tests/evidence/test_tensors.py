"""Tensors that cannot be looked at are told from those that can."""

import pytest
import torch

from normwise.evidence.tensors import has_shape, has_values, is_measurable

NESTED = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])


def test_plain_numbers():
    x = torch.ones(2, 3, dtype=torch.bfloat16)
    assert has_shape(x)
    assert has_values(x)
    assert is_measurable((x, None))


@pytest.mark.parametrize("odd", [torch.eye(3).to_sparse(), torch.ones(3, device="meta")])
def test_without_values(odd: torch.Tensor):
    assert has_shape(odd)
    assert not has_values(odd)
    assert not is_measurable((odd,))


def test_what_belongs_to_a_transformation():
    seen = []
    torch.func.vmap(lambda x: seen.append(has_values(x)) or x)(torch.ones(3, 2))
    assert seen == [False]


@pytest.mark.parametrize("other", [NESTED, None, 1.0, "text"])
def test_without_shape(other: object):
    assert not has_shape(other)
    assert not is_measurable((other,))


def test_not_real_or_not_there():
    assert not is_measurable(())
    for odd in (torch.arange(3), torch.ones(3, dtype=torch.complex64), torch.tensor(1.0)):
        assert not is_measurable((odd,))
