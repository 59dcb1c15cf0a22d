"""What do the stacked forms gain over torch.vmap's own rules? Steps of training, one thread.

A stack of 16 runs takes steps with every form, and without one: torch.vmap's rule for the same
function of torch is recorded in its place. And torch's kernels in the two layouts between which
some forms choose.

    python benchmarks/forms.py
"""

from collections.abc import Callable
from unittest.mock import patch

import torch
import torch.nn.functional as F
from _measuring import interleaved, median, seconds, table, write
from torch import nn

from normwise.data import Split
from normwise.stack import Objective, Recipe, Stacked
from normwise.stack.forms import mode
from normwise.stack.stacked import repeat

RUNS = 16
ROUNDS = 15


def convolution(inputs: int, outputs: int, *, norm: bool = False) -> Callable[[], nn.Module]:
    def network() -> nn.Module:
        extra = [nn.BatchNorm2d(outputs)] if norm else []
        layers = [nn.Conv2d(inputs, outputs, 3), *extra, nn.ReLU(), nn.Conv2d(outputs, outputs, 3)]
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(outputs, 10))

    return network


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10))


CASES: list[tuple[str, Callable[..., object], Callable[[], nn.Module], tuple[int, ...]]] = [
    ("784-48-10 with batch norm", F.linear, perceptron, (784,)),
    ("784-48-10 with batch norm", F.batch_norm, perceptron, (784,)),
    ("784-48-10 with batch norm", F.cross_entropy, perceptron, (784,)),
    ("two convolutions, 1 to 4 channels of 28 x 28", F.conv2d, convolution(1, 4), (1, 28, 28)),
    ("two convolutions, 1 to 16 channels of 28 x 28", F.conv2d, convolution(1, 16), (1, 28, 28)),
    ("two convolutions, 16 to 32 channels of 12 x 12", F.conv2d, convolution(16, 32), (16, 12, 12)),
    (
        "convolutions and batch norm, 8 channels of 14 x 14",
        F.batch_norm,
        convolution(8, 8, norm=True),
        (8, 14, 14),
    ),
]


def stack(network: Callable[[], nn.Module], example: Split, without: object) -> Stacked:
    """Return a stack that leaves one function to torch.vmap, or none."""
    kept = {function: form for function, form in mode._FORMS.items() if function is not without}
    networks = [network() for _ in range(RUNS)]
    with patch.dict(mode._FORMS, kept, clear=True):
        return Stacked(networks, [Recipe()] * RUNS, Objective("classes"), range(RUNS), example)


def forms() -> str:
    rows = []
    for name, function, network, shape in CASES:
        example = Split(torch.randn(64, *shape), torch.randint(0, 10, (64,)))
        batch = repeat(example, RUNS)
        stacks = {"vmap": stack(network, example, function), "ours": stack(network, example, None)}
        steps = {
            which: lambda each=each, batch=batch: seconds(lambda: each.step(batch.x, batch.y))
            for which, each in stacks.items()
        }
        times = interleaved(steps, ROUNDS)
        vmap, ours = (median(times[which]) * 1e3 for which in ("vmap", "ours"))
        called = f"`F.{function.__name__}`"  # type: ignore[attr-defined]
        rows.append([called, name, f"{vmap:.2f}", f"{ours:.2f}", f"**{vmap / ours:.1f}x**"])
    return table(["form", "network", "without it, ms", "with it, ms", "faster"], rows)


def layouts() -> str:
    """torch's own kernels, in the layout that a form avoids and in the one that it takes."""
    logits = torch.randn(RUNS, 64, 10)
    x, w = torch.randn(64, 16, 12, 12), torch.randn(32, 16, 3, 3)
    backward = torch.ops.aten.convolution_backward.default
    no, one = [0, 0], [1, 1]
    image, kernel = torch.randn(64, 1, 28, 28), torch.randn(16, 1, 5, 5)
    found = F.conv2d(image, kernel)
    image_last, kernel_last, found_last = (
        t.clone(memory_format=torch.channels_last) for t in (image, kernel, found)
    )
    only_weight = [False, True, False]
    pairs: list[tuple[str, Callable[[], object], str, Callable[[], object]]] = [
        (
            "log_softmax over the last of (16, 64, 10)",
            lambda: logits.log_softmax(2),
            "over the first of (10, 16, 64), transposed before",
            lambda: logits.permute(2, 0, 1).contiguous().log_softmax(0),
        ),
        (
            "gradient of a convolution's weights, 1 to 16 channels of 28 x 28",
            lambda: backward(found, image, kernel, None, one, no, one, False, no, 1, only_weight),
            "with the channels last",
            lambda: backward(
                *(found_last, image_last, kernel_last, None, one, no, one, False, no, 1),
                only_weight,
            ),
        ),
        (
            "max_pool2d of 16 channels of 24 x 24",
            lambda: F.max_pool2d(found, 2, return_indices=True),
            "with the channels last",
            lambda: F.max_pool2d(found_last, 2, return_indices=True),
        ),
        (
            "a grouped convolution of 16 runs",
            lambda: F.conv2d(x.repeat(1, RUNS, 1, 1), w.repeat(RUNS, 1, 1, 1), groups=RUNS),
            "16 convolutions",
            lambda: [F.conv2d(x, w) for _ in range(RUNS)],
        ),
    ]  # fmt: skip
    rows = []
    for slow_name, slow, fast_name, fast in pairs:
        times = interleaved({"a": lambda f=slow: seconds(f), "b": lambda f=fast: seconds(f)}, 40)
        a, b = median(times["a"]) * 1e3, median(times["b"]) * 1e3
        rows.append([slow_name, f"{a:.2f}", fast_name, f"{b:.2f}", f"**{a / b:.1f}x**"])
    return table(["instead of", "ms", "the forms take", "ms", "faster"], rows)


def main() -> None:
    torch.set_num_threads(1)
    found = forms()
    with torch.no_grad():
        kernels = layouts()
    write("forms", "What the stacked forms gain", [found, "## Why", kernels])


if __name__ == "__main__":
    main()
