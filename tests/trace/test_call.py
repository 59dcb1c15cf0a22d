import pytest
import torch
from torch import nn

from normwise.errors import UsageError
from normwise.trace import Call

A, B = torch.arange(6.0).view(3, 2), torch.ones(3, 2)


class Weighted(nn.Module):
    def forward(self, a, b=None, *, factor=1):
        return [factor * a if b is None else factor * a + b]


@pytest.mark.parametrize(
    ("example", "wanted"),
    [
        (A, A),
        ((A, B), A + B),
        ([A, B], A + B),
        ({"a": A, "factor": 3}, 3 * A),
        (({"x": A}["x"], B), A + B),
        (Call.of((A, B)), A + B),
    ],
)
def test_forms_of_an_example(example, wanted):
    call = Call.of(example)
    assert torch.equal(call(Weighted())[0], wanted)
    assert torch.equal(call.outputs(Weighted())[0], wanted)


def test_what_a_network_does_to_its_inputs_is_not_seen():
    a = A.clone()
    Call.of((a,))(nn.ReLU(inplace=True))
    Call.of(a)(nn.Threshold(9.0, -1.0, inplace=True))
    assert torch.equal(a, A)


def test_the_samples_are_those_of_the_first_tensor():
    mask = torch.ones(2, 5)
    call = Call.of({"a": A, "scale": torch.tensor(2.0), "pair": (B, mask)})
    assert call.size == 3
    shapes = [tuple(t.shape) for t in call.resized(lambda t: t[:1]).tensors]
    assert shapes == [(1, 2), (), (1, 2), (2, 5)]
    assert str(call) == "of shapes (3, 2), (), (3, 2), (2, 5)"
    assert str(Call.of(A)) == "of shape (3, 2)"


@pytest.mark.parametrize(
    ("example", "text"),
    [
        (3, "example is a int: give a tensor, a tuple"),
        ("a", "example is a str"),
        ([], "example holds no tensor with values"),
        ({"a": 1}, "example holds no tensor with values"),
        (A[:0], "example holds no tensor with values"),
    ],
)
def test_what_is_no_example(example, text):
    with pytest.raises(UsageError, match=text):
        Call.of(example)
