import copy
import math

import pytest
import torch
from torch import nn

from normwise.errors import UsageError
from normwise.layers import ConcreteDropout


def test_equals_the_papers_formula():
    x = torch.randn(6, 5, dtype=torch.float64)
    layer = ConcreteDropout(0.3, temperature=0.2).double()
    torch.manual_seed(4)
    found = layer(x)
    torch.manual_seed(4)
    u = x.new_empty(x.shape).uniform_()
    p = torch.tensor(0.3, dtype=torch.float64)
    z = ((p.log() - (1 - p).log() + u.log() - (1 - u).log()) / 0.2).sigmoid()
    torch.testing.assert_close(found, x * (1 - z) / (1 - p), rtol=1e-6, atol=0)


def test_cold_it_is_dropout():
    torch.manual_seed(0)
    y = ConcreteDropout(0.3, temperature=1e-3)(torch.ones(100_000))
    assert abs((y < 0.01).double().mean() - 0.3) < 0.01
    assert abs(y.double().mean() - 1) < 0.01


def test_backward_is_that_of_the_loss_plus_the_entropy():
    x = torch.randn(6, 5, 2, dtype=torch.float64)
    gradients = []
    for inside in (True, False):
        layer = ConcreteDropout(0.2, dropout_regularizer=0.7 if inside else 0.0).double()
        torch.manual_seed(4)
        loss = layer(x).square().sum()
        if not inside:
            p = layer.p
            loss = loss + 0.7 * 10 * (p * p.log() + (1 - p) * (1 - p).log())
        gradients.append(torch.autograd.grad(loss, layer.p_logit)[0])
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=0)


def test_the_entropy_term():
    layer = ConcreteDropout(0.2, dropout_regularizer=0.5)
    expected = 0.5 * 8 * (0.2 * math.log(0.2) + 0.8 * math.log(0.8))
    assert layer.entropy_term(8).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("regularizer", "grows"), [(3.0, True), (0.0, False)])
def test_p_follows_the_entropy_and_the_data(regularizer: float, grows: bool):
    torch.manual_seed(0)
    x = torch.randn(256, 8)
    y = x.sum(1, keepdim=True)
    dropout = ConcreteDropout(0.2, dropout_regularizer=regularizer)
    net = nn.Sequential(dropout, nn.Linear(8, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
    assert (dropout.p > 0.3) == grows
    assert (dropout.p < 0.1) != grows


def test_under_vmap_every_copy_has_its_own_gradient():
    layer = ConcreteDropout(0.2, dropout_regularizer=0.1)
    logits = torch.tensor([-1.0, 0.5])

    def loss(logit: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(layer, {"p_logit": logit}, (x,)).sum() * 0

    found = torch.vmap(torch.func.grad(loss), randomness="different")(logits, torch.ones(2, 3, 4))
    expected = []
    for logit in logits:
        alone = copy.deepcopy(layer)
        alone.p_logit.data.copy_(logit)
        [gradient] = torch.autograd.grad(alone.entropy_term(4), alone.p_logit)
        expected.append(gradient)
    torch.testing.assert_close(found, torch.stack(expected))


def test_mistakes():
    with pytest.raises(UsageError) as caught:
        ConcreteDropout(1.0, temperature=0.0, dropout_regularizer=-1.0)
    assert len(caught.value.problems) == 3
