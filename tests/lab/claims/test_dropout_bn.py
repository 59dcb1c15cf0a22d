import pytest
import torch
from torch import nn

from normwise.lab import Budget
from normwise.lab.claims.dropout_bn import DropoutBn, shifts

RATIOS = [f"variance ratio, norm {place}" for place in (1, 2, 3)]


@pytest.fixture(scope="module")
def result(digits):
    return DropoutBn().run(0, digits, Budget(1, 0.3))


def test_dropout_shifts_the_norms_behind_it_only(result):
    for ratio in RATIOS:
        for calm in ("no dropout", "dropout=0.5 behind the last norm"):
            assert result.number(ratio, calm).estimate == pytest.approx(1, abs=0.06)
    for ratio in RATIOS[1:]:
        strong, weak, uniform = (
            result.number(ratio, of).estimate for of in ("dropout=0.5", "dropout=0.2", "uout=0.5")
        )
        assert strong > weak > uniform
    assert result.number(RATIOS[0], "dropout=0.5").estimate == pytest.approx(1, abs=0.06)


def test_differences_are_of_the_norms_behind_dropout(result):
    means = {
        of: sum(result.number(ratio, of).estimate for ratio in RATIOS[1:]) / 2
        for of in ("no dropout", "dropout=0.5", "uout=0.5")
    }
    what = "variance ratio, norms 2 and 3"
    shift = result.number(what, "dropout=0.5 − no dropout").estimate
    assert shift == pytest.approx(means["dropout=0.5"] - means["no dropout"])
    less = result.number(what, "uout=0.5 − dropout=0.5").estimate
    assert less == pytest.approx(means["uout=0.5"] - means["dropout=0.5"])
    assert result.verdict == "inconclusive"  # a single run


def test_the_ratio_is_what_the_formula_gives(digits):
    """A norm that has seen dropout's variance in training, Var + p/(1-p) Σ w² E[x²], exactly."""
    torch.manual_seed(0)
    width, p = 12, 0.4
    norms = [nn.BatchNorm1d(width) for _ in RATIOS]
    blocks = [nn.Sequential(nn.Linear(64, width), norms[0], nn.ReLU())]
    blocks += [
        nn.Sequential(nn.Dropout(p), nn.Linear(width, width), norm, nn.ReLU()) for norm in norms[1:]
    ]
    network = nn.Sequential(nn.Flatten(), *blocks, nn.Linear(width, 10))
    network.eval()
    x = digits.train.x.flatten(1)
    expected = {}
    with torch.no_grad():
        for name, block, norm in zip(RATIOS, blocks, norms, strict=True):
            linear = next(layer for layer in block if isinstance(layer, nn.Linear))
            y = linear(x)
            population = y.var(0, correction=0)
            dropped = isinstance(block[0], nn.Dropout)
            extra = p / (1 - p) * linear.weight.square() @ x.square().mean(0) if dropped else 0
            norm.running_mean.copy_(y.mean(0))
            norm.running_var.copy_(population + extra)
            expected[name] = ((population + extra) / population).log().mean().exp().item()
            x = nn.functional.batch_norm(y, y.mean(0), population).relu()
    # shifts() measures what each norm sees when those before it hold the population's statistics
    found = shifts(network, digits)
    for name in RATIOS:
        assert found[name] == pytest.approx(expected[name], rel=1e-3)
    assert found[RATIOS[0]] == pytest.approx(1, rel=1e-3)
    assert found[RATIOS[1]] > 1.2
