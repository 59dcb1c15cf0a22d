"""Losses and metrics, against their formulas."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import entropy
from sklearn.metrics import r2_score
from torch import Tensor

from normwise.errors import UsageError
from normwise.stack import LOSSES, Objective


def draw(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def score(objective: Objective, output: Tensor, y: Tensor) -> float:
    """Score in two parts, as an evaluation does."""
    half = len(y) // 3
    parts = [objective.tally(output[:half], y[:half]), objective.tally(output[half:], y[half:])]
    return objective.score(parts, y)[0]


def test_classes():
    logits, y, objective = draw(20, 4), torch.arange(20) % 4, Objective("classes")
    p = np.exp(logits.numpy())
    p /= p.sum(1, keepdims=True)
    expected = -np.log(p[np.arange(20), y.numpy()]).mean()
    assert objective.loss(logits, y).item() == pytest.approx(expected, rel=1e-12)
    assert score(objective, logits, y) == (p.argmax(1) == y.numpy()).mean()


@pytest.mark.parametrize("shape", [(20,), (20, 1)])
def test_single_logit(shape: tuple[int, ...]):
    logits, y, objective = draw(*shape), torch.arange(20) % 2, Objective("classes")
    p = 1 / (1 + np.exp(-logits.flatten().numpy()))
    expected = -np.log(np.where(y.numpy() == 1, p, 1 - p)).mean()
    assert objective.loss(logits, y).item() == pytest.approx(expected, rel=1e-12)
    assert score(objective, logits, y) == ((p > 0.5) == y.numpy()).mean()


@pytest.mark.parametrize("shape", [(21,), (21, 1)])
def test_regression(shape: tuple[int, ...]):
    output, y, objective = draw(*shape), draw(21, seed=1), Objective("regression")
    expected = ((output.flatten() - y) ** 2).mean().item()
    assert objective.loss(output, y).item() == pytest.approx(expected, rel=1e-12)
    assert score(objective, output, y) == pytest.approx(r2_score(y, output.flatten()), rel=1e-12)
    assert objective.metric == "r2"


def test_several_outputs():
    output, y, objective = draw(21, 3), draw(21, 3, seed=1), Objective("regression", "l1_loss")
    assert objective.loss(output, y).item() == pytest.approx((output - y).abs().mean().item())
    assert score(objective, output, y) == pytest.approx(r2_score(y, output), rel=1e-12)


def test_an_output_with_a_constant_target_counts_0_or_1_once_it_is_hit():
    output, y, objective = draw(21, 3), draw(21, 3, seed=1), Objective("regression")
    y[:, 1] = 0.25
    assert score(objective, output, y) == pytest.approx(r2_score(y, output), rel=1e-12)
    output[:, 1] = 0.25
    assert score(objective, output, y) == pytest.approx(r2_score(y, output), rel=1e-12)


@pytest.mark.parametrize("shape", [(20, 4), (5, 4, 3)])
def test_the_entropy_of_classes(shape: tuple[int, ...]):
    logits, y = 4 * draw(*shape), torch.zeros(shape[:-1], dtype=torch.long)
    expected = entropy(np.exp(logits.numpy()), axis=-1).mean()
    assert Objective("classes").confidence(logits, y).item() == pytest.approx(-expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(20,), (20, 1)])
def test_the_entropy_of_a_single_logit(shape: tuple[int, ...]):
    logits, y = 4 * draw(*shape), torch.arange(20) % 2
    p = 1 / (1 + np.exp(-logits.flatten().numpy()))
    expected = entropy(np.stack([p, 1 - p])).mean()
    assert Objective("classes").confidence(logits, y).item() == pytest.approx(-expected, rel=1e-12)


def test_an_entropy_of_one_class_is_nothing_and_has_a_gradient():
    logits = torch.tensor([[900.0, -900.0, 0.0]], dtype=torch.float64, requires_grad=True)
    confidence = Objective("classes").confidence(logits, torch.tensor([0]))
    confidence.backward()
    assert confidence.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros(1, 3).double())
    with pytest.raises(UsageError, match="this is a regression"):
        Objective("regression").confidence(logits, logits)


def test_sequences_of_classes():
    logits, objective = draw(20, 5, 4), Objective("classes")
    y = torch.arange(100).view(20, 5) % 4
    expected = F.cross_entropy(logits.mT, y).item()
    assert objective.loss(logits, y).item() == pytest.approx(expected, rel=1e-12)
    hits = (logits.argmax(-1) == y).double().mean().item()
    assert score(objective, logits, y) == pytest.approx(hits)


@pytest.mark.parametrize("name", LOSSES)
def test_named_losses_are_torchs(name: str):
    is_classes = name in ("cross_entropy", "nll_loss")
    output = draw(20, 4).log_softmax(1) if is_classes else draw(20, 4)
    y = torch.arange(20) % 4 if is_classes else draw(20, 4, seed=1).sigmoid()
    objective = Objective("classes" if is_classes else "regression", name)
    assert torch.equal(objective.loss(output, y), getattr(F, name)(output, y))
