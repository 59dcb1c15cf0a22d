"""Programs for MOD102: training of a network in evaluation mode."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from normwise.rules import Findings, watch

BATCHES = [(torch.randn(64, 8), torch.randint(0, 4, (64,))) for _ in range(4)]


def rows(*middle: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16, bias=False), *middle, nn.ReLU(), nn.Linear(16, 4))


def step(net: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    F.cross_entropy(net(x), y).backward()
    optimizer.step()


def trained(net: nn.Module, *, back: bool = True, select: str | None = None) -> Findings:
    """Train for three epochs with a validation behind each, and go back to training mode or not."""
    optimizer = SGD(net.parameters(), 0.01)
    with watch(net, optimizer, every=1, select=select) as watching:
        for _ in range(3):
            for x, y in BATCHES:
                step(net, optimizer, x, y)
            net.eval()
            with torch.no_grad():
                net(BATCHES[0][0])
            net.train(back)
    return watching.findings()


def bad_never_back_after_validation():
    return trained(rows(nn.BatchNorm1d(16)), back=False, select="MOD"), ""


def bad_loaded_in_evaluation_mode():
    return trained(rows(nn.Dropout(0.2)).eval(), back=False), ""


def bad_fresh_norm():
    return trained(rows(nn.BatchNorm1d(16)).eval(), back=False, select="MOD"), ""


def ok_training_mode():
    return trained(rows(nn.BatchNorm1d(16)))


def near_no_dropout_and_no_batch_norm():
    return trained(rows(nn.LayerNorm(16)).eval(), back=False)


def near_fine_tuning_with_pretrained_norms():
    net = rows(nn.BatchNorm1d(16))
    for x, _ in 10 * BATCHES:
        net(x)
    return trained(net.eval(), back=False)


def near_norm_alone_in_evaluation_mode():
    net = rows(nn.BatchNorm1d(16))
    net[1].train = lambda mode=True: net[1]  # as freezing does
    net[1].training = False
    return trained(net, select="MOD")


def near_attack_at_each_step():
    """Adversarial training: gradients by the input, in evaluation mode, between the steps."""
    net = rows(nn.Dropout(0.2))
    optimizer = SGD(net.parameters(), 0.01)
    with watch(net, optimizer, every=1, select="MOD") as watching:
        for x, y in 3 * BATCHES:
            net.eval()
            for _ in range(5):
                attacked = x.clone().requires_grad_()
                [gradient] = torch.autograd.grad(F.cross_entropy(net(attacked), y), attacked)
                x = x + 0.01 * gradient.sign()
            net.train()
            step(net, optimizer, x, y)
    return watching.findings()


def near_explanation_after_training():
    net = rows(nn.Dropout(0.2))
    optimizer = SGD(net.parameters(), 0.01)
    with watch(net, optimizer, every=1, select="MOD") as watching:
        for x, y in BATCHES:
            step(net, optimizer, x, y)
        net.eval()
        for x, _ in BATCHES:
            net(x.clone().requires_grad_()).max().backward()
    return watching.findings()


def near_critic_of_another_network():
    """A frozen network in evaluation mode that gradients pass through, as in a perceptual loss."""
    nets = {"net": nn.Linear(8, 8), "critic": rows(nn.Dropout(0.2)).eval().requires_grad_(False)}
    optimizer = SGD(nets["net"].parameters(), 0.01)
    with watch(nets, optimizer, every=1, select="MOD") as watching:
        for x, y in 3 * BATCHES:
            optimizer.zero_grad()
            F.cross_entropy(nets["critic"](nets["net"](x)), y).backward()
            optimizer.step()
    return watching.findings()


def test_steps_are_named():
    findings = trained(rows(nn.BatchNorm1d(16)), back=False, select="MOD102")
    assert [(f.step, f.value) for f in findings] == [(4, 7)]
    assert "from step 4 to 11" in findings[0].message
