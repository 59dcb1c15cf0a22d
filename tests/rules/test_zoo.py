"""Healthy programs give no alarm, and a fault planted into one is found where it is."""

import importlib.util
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from normwise.rules import all_rules

_spec = importlib.util.spec_from_file_location("zoo", Path(__file__).with_name("zoo.py"))
assert _spec is not None
assert _spec.loader is not None
zoo = importlib.util.module_from_spec(_spec)
sys.modules["zoo"] = zoo
_spec.loader.exec_module(zoo)

Plant = Callable[[], dict[str, Any]]
LOOP = "zoo.py:"


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("name", zoo.PROGRAMS)
def test_healthy_program(name: str):
    torch.manual_seed(0)
    findings = zoo.PROGRAMS[name]()
    assert not findings.notes
    assert [finding for finding in findings if finding.level != "info"] == []
    assert len(findings.clean) > 10


def test_zoo_is_large():
    assert len(zoo.PROGRAMS) >= 20


# --- faults ----------------------------------------------------------------------------------


class Detach(nn.Module):
    """Cuts the gradient's path."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


def changed(index: int, layer: Callable[[], nn.Module], **options: Any) -> Plant:
    """Put another layer into a sequence."""

    def model(net: Any) -> nn.Module:
        net[index] = layer()
        return net

    return lambda: {"model": model, **options}


def dropped(layer: nn.Module, p: float) -> nn.Module:
    return nn.Sequential(layer, nn.Dropout(p))


def first() -> nn.Module:
    return nn.Linear(12, 32, bias=False)


def forgetful(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, track_running_stats=False)


def appended(layer: nn.Module) -> Plant:
    return lambda: {"model": lambda net: nn.Sequential(*net, layer)}


def scaled(path: str, factor: float = 1.0, bias: float = 0.0, **options: Any) -> Plant:
    """Multiply a layer's weight and set its bias."""

    def model(net: nn.Module) -> nn.Module:
        layer: Any = net.get_submodule(path)
        layer.weight.data *= factor
        if layer.bias is not None:
            layer.bias.data.fill_(bias)
        return net

    return lambda: {"model": model, **options}


def still(path: str, factor: float) -> Plant:
    """Multiply a layer's weight, and train too slowly for that to heal."""
    tiny = made(lambda parameters: SGD(parameters, 1e-12), steps=8)
    return lambda: scaled(path, factor)() | tiny()


def detached(at: int) -> Plant:
    return lambda: {
        "model": lambda net: nn.Sequential(nn.Sequential(*net[:at]), Detach(), *net[at:])
    }


def made(make: Callable[[list[Any]], Optimizer], **options: Any) -> Plant:
    return lambda: {"make": lambda _: lambda parameters: make(list(parameters)), **options}


def judged(objective: Callable[[Any, Tensor], Tensor], **options: Any) -> Plant:
    return lambda: {"objective": lambda _: objective, **options}


def fed(inputs: Callable[[Tensor], Tensor], **options: Any) -> Plant:
    return lambda: {"inputs": inputs, **options}


def never_cleared(net: nn.Module, optimizer: Optimizer, loss: Any, x: Any, y: Any, **_: Any):
    loss(net(x), y).backward()
    optimizer.step()


def in_evaluation(net: nn.Module, optimizer: Optimizer, loss: Any, x: Any, y: Any, **_: Any):
    net.eval()
    zoo.ordinary(net, optimizer, loss, x, y)


def stays_training(net: Any) -> nn.Module:
    net.eval = lambda: net
    return net


def broken(x: Tensor) -> Tensor:
    x = x.clone()
    x[len(x) // 2 :: 7] = float("nan")
    return x


def climbing(output: Tensor, target: Tensor) -> Tensor:
    return -F.cross_entropy(output, target)


def climbing_squares(output: Tensor, target: Tensor) -> Tensor:
    return -F.mse_loss(output, target)


def one_logit(output: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy(output, (target[:, None] > 1).float())


def wide_accuracy(output: Tensor, target: Tensor) -> Tensor:
    assert ((output > 0) == target.squeeze(1)).float().mean() >= 0
    return F.binary_cross_entropy_with_logits(output, target)


def unscaled() -> dict[str, Any]:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    return {"loop": zoo.scaled, "scaler": scaler, "unscale": False}


def to_one_logit() -> dict[str, Any]:
    last = nn.Linear(32, 1), nn.Softmax(1)
    return {
        "model": lambda net: nn.Sequential(*net[:-1], *last),
        "objective": lambda _: one_logit,
    }


def late(net: Any) -> nn.Module:
    return nn.Sequential(*net[:-1], nn.Dropout(0.5), net[-1])


def altered(path: str, alter: Callable[[Any], object], **options: Any) -> Plant:
    """Do something to one layer."""

    def model(net: nn.Module) -> nn.Module:
        alter(net.get_submodule(path))
        return net

    return lambda: {"model": model, **options}


def from_elsewhere(norm: Any) -> None:
    """Give a norm the statistics of other data, as if it had long been trained on them."""
    norm.momentum = 1e-3
    norm.running_mean += 5
    norm.num_batches_tracked.fill_(300)


def with_norm(block: Any) -> None:
    block[1] = nn.BatchNorm1d(24)


def twice_normed(net: Any) -> nn.Module:
    net[2].weight.data *= 4
    norm = nn.BatchNorm1d(32)
    return nn.Sequential(net[0], norm, net[1], net[2], norm, *net[3:])


def stem_normed_within(net: Any) -> nn.Module:
    net.stem.weight.data *= 5
    net.blocks[0].norm2 = net.norm
    return net


def all_alike(net: nn.Module) -> nn.Module:
    for parameter in net.parameters():
        nn.init.constant_(parameter, 0.1)
    return net


def deep_but_faint(net: Any) -> nn.Module:
    net = nn.Sequential(*net[:4], nn.Linear(32, 32), nn.ReLU(), *net[4:])
    net[2].weight.data *= 1e-5
    net[2].bias.data.zero_()
    return net


class Mixes(nn.Module):
    """Subtracts the mean over the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


def runs_twice(net: nn.Module, optimizer: Optimizer, loss: Any, x: Any, y: Any, **_: Any):
    zoo.ordinary(net, optimizer, loss, x, y)
    with torch.no_grad():
        net(x)


def scores_with_gradients(
    net: nn.Module, optimizer: Optimizer, loss: Any, x: Any, y: Any, *, number: int, **_: Any
):
    zoo.ordinary(net, optimizer, loss, x, y)
    if number % 8 == 7:
        net.eval()
        net(x)
        net.train()


def in_small_batches(x: Tensor, y: Tensor, steps: int) -> Any:
    return zoo.batches(x, y, steps, 4)


def in_order(x: Tensor, y: Tensor, steps: int) -> Any:
    parts = list(zip(x.split(64), y.split(64), strict=True))
    return (parts[step % len(parts)] for step in range(steps))


def by_class(x: Tensor, y: Tensor, steps: int) -> Any:
    order = y.argsort()
    return in_order(x[order], y[order], steps)


def of_few(x: Tensor, y: Tensor, steps: int) -> Any:
    return zoo.batches(x[:48], y[:48], steps, 16)


def often_wrong(y: Tensor) -> Tensor:
    return torch.where(torch.rand(len(y)) < 0.4, y.roll(1), y)


def noisy(y: Tensor) -> Tensor:
    return y + torch.randn_like(y)


def overfitted() -> dict[str, Any]:
    faster = made(lambda p: Adam(p, 4e-3))
    return {"draw": of_few, "targets": noisy, "steps": 400} | faster()


def unlike(x: Tensor) -> Tensor:
    return torch.cat([1000 * x[:, :1], x[:, 1:]], 1)


def partly_constant(x: Tensor) -> Tensor:
    return torch.cat([torch.ones_like(x[:, :1]), x[:, 1:]], 1)


def other(parameters: list[Tensor]) -> Optimizer:
    return Adam([nn.Parameter(deepcopy(p.data)) for p in parameters])


ADAM_L2 = made(lambda p: Adam(p, 1e-3, weight_decay=0.05))
TINY = made(lambda p: SGD(p, 1e-9), steps=100)
HUGE = made(lambda p: Adam(p, 1.0))
PLANTED: list[tuple[str, str, Plant, str]] = [
    ("NRM101", "cnn", changed(0, lambda: nn.Conv2d(1, 8, 3, padding=1)), "0"),
    ("NRM101", "moving_average", changed(0, lambda: nn.Linear(12, 32)), "0"),
    (
        "NRM102",
        "cnn",
        changed(8, lambda: nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64)), draw=in_small_batches),
        "8.1",
    ),
    ("NRM102", "moving_average", lambda: {"draw": in_small_batches}, "1"),
    ("NRM103", "cnn", changed(1, lambda: nn.BatchNorm2d(8, momentum=0.99)), "1"),
    ("NRM103", "moving_average", changed(1, lambda: nn.BatchNorm1d(32, momentum=0.99)), "1"),
    ("NRM104", "cnn", altered("1", from_elsewhere), "1"),
    ("NRM104", "resnet", altered("norm", from_elsewhere, steps=24), "norm"),
    ("NRM105", "cnn", altered("1", lambda norm: norm.requires_grad_(False)), "1"),
    ("NRM105", "frozen_backbone", lambda: {"loop": zoo.ordinary}, "norm"),
    ("NRM106", "cnn", lambda: {"loop": runs_twice}, "1"),
    ("NRM106", "checkpointing", altered("blocks.0", with_norm), "blocks.0.1"),
    ("NRM107", "mlp", lambda: {"model": twice_normed}, "1"),
    ("NRM107", "resnet", lambda: {"model": stem_normed_within}, "norm"),
    ("NRM108", "cnn", lambda: {"loop": zoo.accumulated}, "1"),
    ("NRM108", "gradient_accumulation", changed(1, lambda: nn.BatchNorm2d(8)), "1"),
    ("NRM109", "resnet", made(lambda p: SGD(p, 0.05, weight_decay=5e-4)), "SGD"),
    ("NRM109", "transformer", made(lambda p: AdamW(p, 3e-3)), "AdamW"),
    ("DRP101", "cnn", changed(2, lambda: dropped(nn.ReLU(), 0.7), steps=50), "5"),
    ("DRP101", "moving_average", changed(0, lambda: dropped(first(), 0.6), steps=50), "1"),
    ("DRP102", "mlp", changed(1, lambda: dropped(nn.ReLU(), 0.95)), "1.1"),
    ("DRP102", "cnn", changed(6, lambda: nn.Sequential(nn.ReLU(), nn.Dropout2d(0.9))), "6.1"),
    ("DRP103", "mlp", appended(nn.Dropout(0.2)), "5"),
    ("DRP103", "cnn", appended(nn.Dropout(0.2)), "10"),
    ("INI101", "mlp", lambda: {"model": all_alike}, "2"),
    ("INI101", "regression", lambda: {"model": all_alike}, "2"),
    ("INI102", "mlp", lambda: {"model": deep_but_faint}, "2"),
    ("INI102", "regression", lambda: {"model": deep_but_faint}, "2"),
    ("ACT101", "mlp", scaled("0", bias=-100), "1"),
    ("ACT101", "cnn", scaled("5", bias=-100), "6"),
    ("ACT102", "tanh_mlp_with_log_softmax", scaled("0", 1000), "1"),
    ("ACT102", "mlp", lambda: changed(3, nn.Tanh)() | fed(lambda x: 1000 * x)(), "3"),
    ("ACT103", "mlp", changed(3, nn.Identity), "4"),
    ("ACT103", "convolutional_autoencoder", changed(1, nn.Identity), "2"),
    ("ACT104", "mlp", still("2", 1e5), "2"),
    ("ACT104", "regression", still("2", 1e5), "2"),
    ("ACT105", "mlp", still("2", 1e-7), "2"),
    ("ACT105", "regression", still("2", 1e-7), "2"),
    ("GRD101", "mlp", still("2", 1e-9), "0"),
    ("GRD101", "segmentation", still("last.0", 1e-9), "deep.0"),
    ("GRD102", "regression", still("2", 1e6), "0"),
    ("GRD102", "mlp", still("2", 1e6), "0"),
    ("GRD103", "mlp", fed(broken), "4"),
    ("GRD103", "cnn", fed(broken), "9"),
    ("GRD104", "mlp", detached(2), "0"),
    ("GRD104", "cnn", detached(7), "0"),
    ("LOS101", "mlp", appended(nn.Softmax(1)), LOOP),
    ("LOS101", "cnn", appended(nn.Softmax(1)), LOOP),
    ("LOS102", "tanh_mlp_with_log_softmax", changed(4, lambda: nn.LogSoftmax(0)), "4"),
    ("LOS102", "cnn", appended(nn.Softmax(0)), "10"),
    ("LOS103", "mlp", to_one_logit, "5"),
    (
        "LOS103",
        "binary_classifier_with_accuracy",
        lambda: appended(nn.Softmax(1))() | judged(F.binary_cross_entropy)(),
        "4",
    ),
    ("LOS104", "regression", judged(lambda o, t: F.mse_loss(o, t.squeeze(1))), "test_zoo.py:"),
    ("LOS104", "binary_classifier_with_accuracy", judged(wide_accuracy), "test_zoo.py:"),
    ("LOS105", "mlp", scaled("4", 100), LOOP),
    ("LOS105", "cnn", scaled("9", 100), LOOP),
    ("LOS106", "mlp", TINY, LOOP),
    ("LOS106", "segmentation", TINY, LOOP),
    (
        "LOS107",
        "mlp",
        lambda: judged(climbing, steps=40)() | made(lambda p: SGD(p, 0.1))(),
        "test_zoo.py:",
    ),
    ("LOS107", "regression", judged(climbing_squares, steps=90), "test_zoo.py:"),
    ("OPT101", "mlp", made(lambda p: SGD(p[2:], 0.1)), "0"),
    ("OPT101", "cnn", made(lambda p: Adam(p[1:])), "0"),
    ("OPT102", "mlp", made(other), "Adam"),
    ("OPT102", "lstm", made(other), "Adam"),
    ("OPT103", "mlp", lambda: {"loop": never_cleared}, "SGD"),
    ("OPT103", "transformer", lambda: {"loop": never_cleared}, "AdamW"),
    ("OPT104", "mlp", TINY, "SGD"),
    ("OPT104", "segmentation", TINY, "SGD"),
    ("OPT105", "mlp", HUGE, "Adam"),
    ("OPT105", "lstm", HUGE, "Adam"),
    ("OPT106", "mlp", ADAM_L2, "Adam"),
    ("OPT106", "own_recurrent_cell", ADAM_L2, "Adam"),
    ("OPT107", "mlp", unscaled, "SGD"),
    ("OPT107", "cnn", unscaled, "Adam"),
    ("MOD101", "cnn", lambda: {"model": stays_training, "steps": 150}, ""),
    ("MOD101", "tanh_mlp_with_log_softmax", lambda: {"model": stays_training, "steps": 150}, ""),
    ("MOD102", "cnn", lambda: {"loop": in_evaluation}, ""),
    ("MOD102", "moving_average", lambda: {"loop": in_evaluation}, ""),
    ("MOD103", "mlp", lambda: {"loop": scores_with_gradients}, ""),
    ("MOD103", "lstm", lambda: {"loop": scores_with_gradients}, ""),
    ("DAT101", "mlp", fed(unlike), ""),
    ("DAT101", "regression", fed(unlike), ""),
    ("DAT102", "mlp", fed(lambda x: 100 * x), ""),
    ("DAT102", "cnn", fed(lambda x: x + 50), ""),
    ("DAT103", "mlp", fed(partly_constant), ""),
    ("DAT103", "regression", fed(partly_constant), ""),
    ("DAT104", "mlp", lambda: {"draw": in_order}, ""),
    ("DAT104", "cnn", lambda: {"draw": in_order}, ""),
    ("DAT105", "mlp", lambda: {"draw": by_class}, ""),
    ("DAT105", "lstm", lambda: {"draw": by_class}, ""),
    ("DAT106", "mlp", changed(3, Mixes, on_the_side=True), ""),
    ("DAT106", "cnn", changed(1, lambda: forgetful(8), on_the_side=True), "1"),
    ("DAT107", "mlp", lambda: {"draw": of_few, "targets": often_wrong, "steps": 400}, ""),
    ("DAT107", "regression", overfitted, ""),
]


@pytest.mark.parametrize(
    ("code", "name", "plant", "where"), PLANTED, ids=[f"{c}-{n}" for c, n, *_ in PLANTED]
)
def test_planted_fault(code: str, name: str, plant: Plant, where: str):
    torch.manual_seed(0)
    findings = zoo.PROGRAMS[name](**{"steps": 24, **plant()})
    places = [finding.where for finding in findings if finding.code == code]
    named = [place for place in places if place == where or (where[-1:] == ":" and where in place)]
    assert named, (places, [(f.code, f.where) for f in findings], findings.unanswered.get(code))


def test_every_fault_is_planted_twice():
    programs: dict[str, set[str]] = {code: set() for code in all_rules()}
    for code, name, *_ in PLANTED:
        programs[code].add(name)
    assert {code for code, names in programs.items() if len(names) < 2} == set()
