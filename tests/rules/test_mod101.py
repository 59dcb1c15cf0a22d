"""Programs for MOD101: scores of a network in training mode."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.swa_utils import update_bn
from torch.utils.checkpoint import checkpoint

from normwise.rules import Findings, check, watch

BATCHES = [(torch.randn(64, 8), torch.randint(0, 4, (64,))) for _ in range(4)]
HELD_OUT = [torch.randn(64, 8) for _ in range(3)]


def dropping() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 4))


def norming() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(8, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)
    )


def trained(
    net: nn.Module, score: Callable[[nn.Module], object], *, last: bool = False
) -> Findings:
    """Train for three epochs, and score behind each, or behind the last."""
    optimizer = SGD(net.parameters(), 0.01)
    with watch(net, optimizer, every=1) as watching:
        for epoch in range(3):
            for x, y in BATCHES:
                optimizer.zero_grad()
                F.cross_entropy(net(x), y).backward()
                optimizer.step()
            if not last or epoch == 2:
                score(net)
    return watching.findings()


@torch.no_grad()
def in_train_mode(net: nn.Module) -> list[Tensor]:
    return [net(x).argmax(1) for x in HELD_OUT]


def in_eval_mode(net: nn.Module) -> None:
    net.eval()
    in_train_mode(net)
    net.train()


def bad_dropout_at_each_epoch():
    return trained(dropping(), in_train_mode), ""


def bad_batch_norm_once():
    return trained(norming(), in_train_mode, last=True), ""


def bad_part_of_a_network():
    nets = nn.ModuleDict({"body": norming(), "head": nn.Sequential(nn.ReLU(), nn.Linear(4, 4))})
    optimizer = SGD(nets.parameters(), 0.01)
    with watch(nets, optimizer, every=1, select="MOD") as watching:
        for _ in range(3):
            for x, y in BATCHES:
                optimizer.zero_grad()
                F.cross_entropy(nets["head"](nets["body"](x)), y).backward()
                optimizer.step()
            in_train_mode(nn.Sequential(nets["body"], nets["head"]))
    return watching.findings(), "body"


def ok_in_evaluation_mode():
    return trained(dropping(), in_eval_mode)


def near_no_dropout_and_no_batch_norm():
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 4))
    return trained(net, in_train_mode)


def near_mc_dropout():
    @torch.no_grad()
    def score(net: nn.Module) -> Tensor:
        return torch.stack([net(HELD_OUT[0]) for _ in range(20)]).mean(0)

    return trained(dropping(), score, last=True)


def near_recalibration_before_scoring():
    def score(net: nn.Module) -> None:
        update_bn(HELD_OUT, net)
        in_eval_mode(net)

    return trained(norming(), score, last=True)


class Reentrant(nn.Module):
    """A network whose body runs without gradients first, and again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.body = dropping()

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.body, x.requires_grad_(), use_reentrant=True)


def near_reentrant_checkpointing():
    net = Reentrant()
    return check(net, BATCHES[0], optimizer=SGD(net.parameters(), 0.1))


def near_reentrant_checkpointing_by_the_loop():
    net = dropping()
    optimizer = SGD(net.parameters(), 0.01)
    with watch(net, optimizer, every=1, select="MOD") as watching:
        for x, y in 3 * BATCHES:
            optimizer.zero_grad()
            output = checkpoint(net, x.clone().requires_grad_(), use_reentrant=True)
            F.cross_entropy(output, y).backward()
            optimizer.step()
    return watching.findings()


def near_reentrant_checkpointing_of_parts_at_times():
    """The body runs without gradients at some steps only, each time in training mode."""
    nets = nn.ModuleDict({"body": dropping(), "head": nn.Linear(4, 4)})
    optimizer = SGD(nets.parameters(), 0.01)
    with watch(nets, optimizer, every=1, select="MOD") as watching:
        for step, (x, y) in enumerate(3 * BATCHES):
            optimizer.zero_grad()
            x = x.clone().requires_grad_()
            saves = step % 4 == 1
            features = checkpoint(nets["body"], x, use_reentrant=True) if saves else nets["body"](x)
            F.cross_entropy(nets["head"](features), y).backward()
            optimizer.step()
    return watching.findings()


def near_adversary():
    """A generator in training mode makes samples for the discriminator at each step."""
    nets = {"g": nn.Sequential(norming(), nn.ReLU(), nn.Linear(4, 8)), "d": nn.Linear(8, 1)}
    g, d = (SGD(net.parameters(), 0.01) for net in nets.values())
    with watch(nets, [g, d], every=1, select="MOD") as watching:
        for x, _ in 3 * BATCHES:
            d.zero_grad()
            with torch.no_grad():
                made = nets["g"](torch.randn(64, 8))
            (nets["d"](made).mean() - nets["d"](x).mean()).backward()
            d.step()
            g.zero_grad()
            (-nets["d"](nets["g"](torch.randn(64, 8))).mean()).backward()
            g.step()
    return watching.findings()


def samples_of_a_generator():
    nets = {"g": nn.Sequential(norming(), nn.ReLU(), nn.Linear(4, 8)), "d": nn.Linear(8, 1)}
    g, d = (SGD(net.parameters(), 0.01) for net in nets.values())
    fixed = torch.randn(16, 8)
    with watch(nets, [g, d], every=1, select="MOD") as watching:
        for _ in range(3):
            for x, _ in BATCHES:
                made = nets["g"](torch.randn(64, 8))
                d.zero_grad()
                (nets["d"](made.detach()).mean() - nets["d"](x).mean()).backward()
                d.step()
                g.zero_grad()
                (-nets["d"](made).mean()).backward()
                g.step()
            with torch.no_grad():
                nets["g"](fixed)
    return watching.findings()


def near_shapes_are_tried_before_training():
    net = norming()
    with watch(net, every=1, select="MOD") as watching:
        in_train_mode(net)
        optimizer = SGD(net.parameters(), 0.01)
        for x, y in BATCHES:
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
    return watching.findings()


def test_samples_of_a_generator_are_a_remark():
    [found] = samples_of_a_generator()
    assert (found.code, found.where, found.level) == ("MOD101", "g", "info")


def test_parts_that_are_scored_together_are_an_error():
    findings, _ = bad_part_of_a_network()
    assert findings[0].level == "error"


def test_passes_are_counted():
    [found] = [f for f in trained(dropping(), in_train_mode) if f.code == "MOD101"]
    assert (found.value, found.step) == (9, 4)
