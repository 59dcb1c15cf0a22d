import math

import pytest
import torch

import normwise as nw
from normwise.lab import ERRATA


@pytest.fixture(scope="module")
def result():
    return nw.lab.run("softmax-stability")


def test_the_claim_holds(result):
    assert result.verdict == "holds"
    assert result.numbers[0].estimate < 5e-7


def test_where_the_others_break_is_where_float32_ends(result):
    """Σ exp z overflows above ln(3.4e38) = 88.7; exp(−2s) is zero below 1.4e−45 / 2."""
    sizes = result.figures[0].table["x"].unique()
    spread, high = "logits from −s to s", "logits from s to s + 9"

    def first(of: str, family: str) -> float:
        return result.number(f"not finite from s = …, {family}", of).estimate

    overflow = math.log(torch.finfo(torch.float32).max)
    tail = math.log(sum(math.exp(k) for k in range(10)))  # of Σ exp(s + k)
    underflow = -math.log(2**-150) / 2  # half the smallest number is rounded to zero
    assert first("exp, then log", high) == sizes[sizes + tail > overflow].min()
    assert first("softmax, then log", spread) == sizes[sizes > underflow].min()
    assert math.isnan(first("softmax, then log", high))
    assert math.isnan(first("log-sum-exp", spread))


def test_the_largest_errors_in_exact_arithmetic(result):
    """What log_softmax gives, against Python's own float64, label by label."""
    for s in (1.0, 50.0, 1e4):
        z = torch.linspace(-s, s, 10)
        values = z.tolist()
        total = max(values) + math.log(math.fsum(math.exp(v - max(values)) for v in values))
        for loss, value in zip((-torch.log_softmax(z, 0)).tolist(), values, strict=True):
            assert loss == pytest.approx(total - value, rel=5e-7, abs=5e-7)


def test_erratum_10_the_sign_of_the_entropy_bonus():
    """A step down L − λH makes predictions more diverse, one down L + λH less."""
    logits = torch.tensor([2.0, 1.0, 0.0], requires_grad=True)

    def entropy(z: torch.Tensor) -> torch.Tensor:
        logs = torch.log_softmax(z, 0)
        return -(logs.exp() * logs).sum()

    (gradient,) = torch.autograd.grad(0.1 * entropy(logits), logits)
    before = entropy(logits)
    assert entropy(logits + gradient) > before  # down L − λH
    assert entropy(logits - gradient) < before  # down L + λH, as printed
    logs = torch.log_softmax(logits, 0)
    assert torch.isclose(-0.1 * before, 0.1 * (logs.exp() * logs).sum())  # λΣp·log p is −λH
    assert "L − λH" in ERRATA[10].right
