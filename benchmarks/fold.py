"""Evaluation speed of folded networks, against the originals and what others make of them.

    python benchmarks/fold.py

Every network runs in evaluation mode without gradients, all in turn within each round. The network
folded by hand is built without norms and dropout and gets the folded weights: no tool that keeps
the layers can be faster.
"""

import copy
import logging
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from _measuring import cores, interleaved, median, table, write
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

import normwise as nw

ROUNDS = 41
SECONDS = 0.02  # how long a network runs in one round
WARM_UP = 5

Norm = Callable[[int], nn.Module]


def mlp(norm: Norm, drop: Callable[[], nn.Module]) -> nn.Module:
    """The lecture's perceptron for MNIST."""
    return nn.Sequential(
        *(nn.Linear(784, 48), norm(48), nn.ReLU(), drop()),
        *(nn.Linear(48, 24), norm(24), nn.ReLU(), drop()),
        nn.Linear(24, 10),
    )


class Residual(nn.Module):
    """A block of a ResNet."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.bn1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.bn2 = norm(outputs)
        self.conv3 = nn.Conv2d(inputs, outputs, 1, stride)
        self.bn3 = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.bn3(self.conv3(x)))


def resnet(norm: Norm, drop: Callable[[], nn.Module]) -> nn.Module:
    """Eighteen layers, at the width that suits 32 x 32 images on two cores."""
    widths = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, 1, 1), norm(16), nn.ReLU()),
        *(Residual(*width, norm) for width in (*widths, (64, 128, 2), (128, 128, 1))),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), drop(), nn.Linear(128, 10)),
    )


def mobilenet(norm: Norm, drop: Callable[[], nn.Module]) -> nn.Module:
    """Depthwise and pointwise convolutions, where norms are a large part of the work."""
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 2, 1), norm(16), nn.ReLU6()]
    for inputs, outputs, stride in ((16, 32, 1), (32, 64, 2), (64, 64, 1), (64, 128, 2)):
        layers += [nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs), norm(inputs), nn.ReLU6()]
        layers += [nn.Conv2d(inputs, outputs, 1), norm(outputs), nn.ReLU6()]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), drop(), nn.Linear(128, 10))
    return nn.Sequential(*layers, *head)


class Transformer(nn.Module):
    """Pre-norm blocks, whose scale and shift go into the layers behind them."""

    def __init__(self, norm: Norm, drop: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(64, 64) for _ in range(4))
        self.up, self.down = nn.Linear(64, 256), nn.Linear(256, 64)
        self.ln1, self.ln2 = norm(64), norm(64)
        self.drop1, self.drop2 = drop(), drop()

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln1(x)
        q, k, v = (
            layer(y).unflatten(-1, (4, 16)).transpose(1, 2) for layer in (self.q, self.k, self.v)
        )
        y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.drop1(self.out(y))
        return x + self.drop2(self.down(torch.relu(self.up(self.ln2(x)))))


def transformer(norm: Norm, drop: Callable[[], nn.Module]) -> nn.Module:
    return nn.Sequential(*(Transformer(norm, drop) for _ in range(4)))


bare_layer_norm = partial(nn.LayerNorm, elementwise_affine=False)
NETWORKS = {
    "perceptron 784-48-24-10, batch 1": (mlp, nn.BatchNorm1d, (1, 784)),
    "perceptron 784-48-24-10, batch 64": (mlp, nn.BatchNorm1d, (64, 784)),
    "ResNet of 18 layers, 32 x 32, batch 1": (resnet, nn.BatchNorm2d, (1, 3, 32, 32)),
    "ResNet of 18 layers, 32 x 32, batch 16": (resnet, nn.BatchNorm2d, (16, 3, 32, 32)),
    "MobileNet-like, 64 x 64, batch 1": (mobilenet, nn.BatchNorm2d, (1, 3, 64, 64)),
    "MobileNet-like, 64 x 64, batch 16": (mobilenet, nn.BatchNorm2d, (16, 3, 64, 64)),
    "4 pre-norm transformer blocks, 64 tokens, batch 8": (transformer, nn.LayerNorm, (8, 64, 64)),
}


def trained(network: nn.Module) -> nn.Module:
    """Stand in for training: norms with statistics, scale and shift of their own."""
    for module in network.modules():
        for name, tensor in module.named_parameters(recurse=False):
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
                nn.init.uniform_(tensor, 0.5, 1.5) if name == "weight" else nn.init.normal_(tensor)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def contestants(make, norm: type[nn.Module], x: Tensor) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    network = trained(make(norm, nn.Dropout))
    folded = nw.fold(network, x)
    batch = norm is not nn.LayerNorm
    by_hand = make((lambda _: nn.Identity()) if batch else bare_layer_norm, nn.Identity).eval()
    by_hand.load_state_dict(folded.state_dict())
    found = {
        "original": network,
        "nw.fold": folded,
        "folded by hand": by_hand,
        "folded by hand, again": copy.deepcopy(by_hand),
        "torch.fx fuse": fuse(copy.deepcopy(network)),
        "torch.ao fuse_fx": fuse_fx(network),
        "torch.compile": torch.compile(copy.deepcopy(network)),
        "torch.compile of nw.fold": torch.compile(folded),
    }
    return {
        name: each for name, each in found.items() if each is not None and works(each, network, x)
    }


def fuse_fx(network: nn.Module) -> nn.Module | None:
    try:
        from torch.ao.quantization.quantize_fx import fuse_fx as torch_ao
    except ImportError:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch_ao(copy.deepcopy(network).eval())


def works(candidate: nn.Module, network: nn.Module, x: Tensor) -> bool:
    """Whether a candidate runs here and computes what the network does."""
    try:
        with torch.no_grad():
            found, wanted = candidate(x), network(x)
    except Exception as error:  # such as no compiler
        print(f"{type(candidate).__name__}: {error}")
        return False
    return bool((found - wanted).abs().max() <= 1e-4 * wanted.abs().max())


def milliseconds(network: nn.Module, x: Tensor) -> float:
    with torch.no_grad():
        started, calls = time.perf_counter(), 0
        while time.perf_counter() - started < SECONDS or calls < 2:
            network(x)
            calls += 1
        return 1000 * (time.perf_counter() - started) / calls


def main() -> None:
    logging.disable(logging.WARNING)
    names = ["nw.fold", "folded by hand", "torch.fx fuse", "torch.ao fuse_fx"]
    names += ["torch.compile", "torch.compile of nw.fold"]
    rows = []
    for title, (make, norm, shape) in NETWORKS.items():
        x = torch.randn(shape)
        networks = contestants(make, norm, x)
        for network in networks.values():
            for _ in range(WARM_UP):
                milliseconds(network, x)
        runs = {name: partial(milliseconds, network, x) for name, network in networks.items()}
        times = interleaved(runs, ROUNDS)
        base = times["original"]
        row = [title, f"{median(base):.3g}"]
        for name in names:
            if name not in times:
                row.append("does not run, or is wrong")
                continue
            ratio = median([a / b for a, b in zip(base, times[name], strict=True)])
            row.append(f"{ratio:.2f}x")
        by_hand = times["folded by hand"]
        for name in ("nw.fold", "folded by hand, again"):
            against = median([a / b for a, b in zip(by_hand, times[name], strict=True)])
            row.append(f"{against:.2f}x")
        rows.append(row)
        print(rows[-1])
    header = [
        "network",
        "original, ms",
        *names,
        "nw.fold against by hand",
        "by hand against itself",
    ]
    write(
        "fold",
        "Folded networks",
        [
            f"Times of one evaluation, without gradients, on {torch.get_num_threads()} threads "
            f"of {cores()} cores; ratios to the original, medians of {ROUNDS} interleaved rounds. "
            "Above 1x is faster. The network folded by hand is built without norms and dropout; a "
            "copy of it, timed against it in the last column, shows what is noise.",
            table(header, rows),
        ],
    )


if __name__ == "__main__":
    main()
