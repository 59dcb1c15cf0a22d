import pytest
import torch

from normwise.errors import UsageError
from normwise.layers import FilterResponseNorm


@pytest.mark.parametrize("shape", [(4, 3, 7), (4, 3, 5, 6), (2, 3, 2, 3, 4)])
@pytest.mark.parametrize("learn_eps", [True, False])
@pytest.mark.parametrize("tlu", [True, False])
def test_equals_the_papers_formula(shape: tuple[int, ...], learn_eps: bool, tlu: bool):
    torch.manual_seed(0)
    norm = FilterResponseNorm(3, 0.1, learn_eps, tlu).double()
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.normal_()
    x = 3 * torch.randn(shape, dtype=torch.float64) + 1
    expected = torch.empty_like(x)
    for n in range(shape[0]):
        for c in range(3):
            nu2 = (x[n, c] ** 2).mean()
            eps = norm.eps[c].abs() if learn_eps else 0.1
            y = x[n, c] / (nu2 + eps).sqrt() * norm.weight[c] + norm.bias[c]
            expected[n, c] = y.clamp(min=norm.threshold[c].item()) if tlu else y
    torch.testing.assert_close(norm(x), expected)
    assert torch.equal(norm(x), norm.eval()(x))
    assert ("eps" in norm.state_dict()) == learn_eps


def test_squares_do_not_overflow_in_half_precision():
    x = torch.full((2, 3, 8), 1000.0, dtype=torch.float16)
    y = FilterResponseNorm(3, tlu=False).half()(x)
    assert torch.equal(y, torch.ones_like(x))


def test_mistakes():
    with pytest.raises(UsageError) as caught:
        FilterResponseNorm(0, -1.0)
    assert len(caught.value.problems) == 2
    for shape in [(2, 3), (2, 4, 5)]:
        with pytest.raises(UsageError, match=r"\(N, C, \*\) with C = 3 and positions"):
            FilterResponseNorm(3)(torch.ones(shape))
