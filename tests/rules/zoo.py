"""Healthy programs: networks of many kinds, each trained as it should be.

A program is a function that trains for a few hundred steps under `watch` and returns what was
found. Its keyword arguments are the places where a fault can be planted; without any it is healthy.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.utils.checkpoint import checkpoint

from normwise.rules import Findings, check, watch

Alter = Callable[[Any], Any]
PROGRAMS: dict[str, Callable[..., Findings]] = {}


def program(make: Callable[..., Findings]) -> Callable[..., Findings]:
    PROGRAMS[make.__name__] = make
    return make


def same(thing: Any) -> Any:
    return thing


# --- data ------------------------------------------------------------------------------------


def rows(count: int = 640, features: int = 12, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Clusters of standardised features, with noise that keeps them from being separated."""
    generator = torch.Generator().manual_seed(7)
    centres = torch.randn(classes, features, generator=generator)
    y = torch.randint(classes, (count,), generator=generator)
    x = centres[y] + 1.2 * torch.randn(count, features, generator=generator)
    return (x - x.mean(0)) / x.std(0), y


def images(count: int = 512, size: int = 8, classes: int = 4) -> tuple[Tensor, Tensor]:
    """A bright bar in one of four places, on noise; standardised."""
    generator = torch.Generator().manual_seed(7)
    y = torch.randint(classes, (count,), generator=generator)
    x = torch.randn(count, 1, size, size, generator=generator)
    bars = torch.zeros(classes, 1, size, size)
    for k in range(classes):
        bars[k, 0, :, 2 * k : 2 * k + 2] = 1.2
    x = x + bars[y]
    return (x - x.mean()) / x.std(), y


def curve(count: int = 640) -> tuple[Tensor, Tensor]:
    """A smooth function of three inputs, as a column, with noise."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(count, 3, generator=generator)
    y = (
        torch.sin(x[:, :1])
        + 0.5 * x[:, 1:2] * x[:, 2:]
        + 0.1 * torch.randn(count, 1, generator=generator)
    )
    return x, (y - y.mean()) / y.std()


def tokens(count: int = 512, length: int = 10, words: int = 12) -> tuple[Tensor, Tensor]:
    """Sequences whose class is how often an even word occurs: seldom, often or mostly."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randint(words, (count, length), generator=generator)
    evens = (x % 2 == 0).sum(1)
    return x, (evens > 4).long() + (evens > 6).long()


def batches(x: Tensor, y: Tensor, steps: int, size: int = 32) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches, epoch after epoch."""
    while True:
        order = torch.randperm(len(x))
        for start in range(0, len(x) - size + 1, size):
            if steps == 0:
                return
            steps -= 1
            chosen = order[start : start + size]
            yield x[chosen], y[chosen]


# --- the ordinary loop -----------------------------------------------------------------------


def supervised(
    net: nn.Module,
    data: tuple[Tensor, Tensor],
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    optimizer: Callable[[Any], Optimizer] = lambda p: Adam(p, 2e-3),
    steps: int = 200,
    *,
    model: Alter = same,
    make: Alter = same,
    objective: Alter = same,
    inputs: Alter = same,
    targets: Alter = same,
    draw: Callable[[Tensor, Tensor, int], Iterator[tuple[Tensor, Tensor]]] = batches,
    loop: Callable[..., None] | None = None,
    every: int | None = 1,
    on_the_side: bool = False,
    **options: Any,
) -> Findings:
    """Train and evaluate by turns.

    Args:
        net: the network.
        data: all samples; a fifth is for validation.
        loss: of output and target.
        optimizer: makes one from parameters.
        steps: of the optimizer.
        model: changes the network before the optimizer is made.
        make: changes how the optimizer is made.
        objective: changes the loss.
        inputs: changes all inputs.
        targets: changes all targets.
        draw: yields the batches.
        loop: one step, other than the ordinary one.
        every: which steps are measured.
        on_the_side: whether the network is checked on one batch instead.
        options: for the loop.
    """
    net, loss = model(net), objective(loss)
    stepping = make(optimizer)(p for p in net.parameters() if p.requires_grad)
    x, y = inputs(data[0]), targets(data[1])
    if on_the_side:
        return check(net, (x[:64], y[:64]), loss, stepping)
    held = len(x) // 5
    step = loop or ordinary
    with watch(net, stepping, every=every) as watching:
        for number, batch in enumerate(draw(x[held:], y[held:], steps)):
            step(net, stepping, loss, *batch, number=number, **options)
            if number % 50 == 49:
                evaluate(net, loss, x[:held], y[:held])
    return watching.findings()


def ordinary(
    net: nn.Module, optimizer: Optimizer, loss: Any, x: Tensor, y: Tensor, **_: Any
) -> None:
    optimizer.zero_grad()
    loss(net(x), y).backward()
    optimizer.step()


@torch.no_grad()
def evaluate(net: nn.Module, loss: Any, x: Tensor, y: Tensor) -> float:
    net.eval()
    value = loss(net(x), y)
    net.train()
    return float(value)


# --- classifiers -----------------------------------------------------------------------------


@program
def mlp(**faults: Any) -> Findings:
    net = nn.Sequential(
        nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4)
    )
    return supervised(net, rows(), optimizer=lambda p: SGD(p, 0.1, momentum=0.9), **faults)


@program
def tanh_mlp_with_log_softmax(**faults: Any) -> Findings:
    layers = nn.Linear(12, 32), nn.Tanh(), nn.Dropout(0.2), nn.Linear(32, 4), nn.LogSoftmax(1)
    return supervised(nn.Sequential(*layers), rows(), F.nll_loss, **faults)


@program
def cnn(**faults: Any) -> Findings:
    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)),
        *(nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 4)),
    )
    return supervised(net, images(), **faults)


class Block(nn.Module):
    """A residual block whose last norm begins at zero."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm2.weight)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(x + self.norm2(self.conv2(y)))


class ResNet(nn.Module):
    """A stem, residual blocks, and a head on the mean of each channel."""

    def __init__(self, blocks: int = 3, channels: int = 12):
        super().__init__()
        self.stem = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.blocks = nn.Sequential(*(Block(channels) for _ in range(blocks)))
        self.head = nn.Linear(channels, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        return self.head(self.blocks(x).mean((2, 3)))


@program
def resnet(**faults: Any) -> Findings:
    def make(parameters: Any) -> Optimizer:
        parameters = list(parameters)
        groups = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim < 2]
        decayed = [{"params": groups[0]}, {"params": groups[1], "weight_decay": 0.0}]
        return SGD(decayed, 0.05, momentum=0.9, weight_decay=5e-4)

    return supervised(ResNet(), images(), optimizer=make, **{"steps": 100, **faults})


class MobileBlock(nn.Module):
    """An inverted residual with a linear bottleneck and a depthwise convolution."""

    def __init__(self, width: int = 6, wide: int = 18):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()),
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            *(nn.BatchNorm2d(wide), nn.ReLU6(), nn.Conv2d(wide, width, 1, bias=False)),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@program
def mobile_net(**faults: Any) -> Findings:
    net = nn.Sequential(
        *(nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU6()),
        *(MobileBlock(), MobileBlock(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4)),
    )
    return supervised(net, images(), **{"steps": 80, **faults})


class Recurrent(nn.Module):
    """An LSTM over words, and a head on its last state."""

    def __init__(self, kind: type[nn.Module] = nn.LSTM):
        super().__init__()
        self.words = nn.Embedding(12, 16)
        self.memory = kind(16, 24, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.memory(self.words(x))[0][:, -1])


def clipped(
    net: nn.Module, optimizer: Optimizer, loss: Any, x: Tensor, y: Tensor, **_: Any
) -> None:
    optimizer.zero_grad()
    loss(net(x), y).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()


@program
def lstm(**faults: Any) -> Findings:
    return supervised(Recurrent(), tokens(), **{"loop": clipped, **faults})


class OwnCell(nn.Module):
    """A gated recurrent cell written by hand, unrolled over time."""

    def __init__(self, units: int = 16):
        super().__init__()
        self.words = nn.Embedding(12, units)
        self.gate = nn.Linear(2 * units, units)
        self.candidate = nn.Linear(2 * units, units)
        self.head = nn.Linear(units, 3)

    def forward(self, x: Tensor) -> Tensor:
        words = self.words(x)
        state = torch.zeros_like(words[:, 0])
        for word in words.unbind(1):
            joined = torch.cat([word, state], 1)
            gate = torch.sigmoid(self.gate(joined))
            state = gate * state + (1 - gate) * torch.tanh(self.candidate(joined))
        return self.head(state)


@program
def own_recurrent_cell(**faults: Any) -> Findings:
    return supervised(OwnCell(), tokens(), **{"steps": 100, **faults})


class Transformer(nn.Module):
    """Words and positions through torch's encoder layers."""

    def __init__(self, norm_first: bool = True):
        super().__init__()
        self.words, self.places = nn.Embedding(12, 16), nn.Parameter(0.02 * torch.randn(10, 16))
        layer = nn.TransformerEncoderLayer(
            16, 2, 32, dropout=0.1, batch_first=True, norm_first=norm_first
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.encoder(self.words(x) + self.places)).mean(1))


def warmed_up(
    net: nn.Module,
    optimizer: Optimizer,
    loss: Any,
    x: Tensor,
    y: Tensor,
    *,
    number: int,
    **_: Any,
) -> None:
    for group in optimizer.param_groups:
        group["lr"] = 3e-3 * min(1.0, (number + 1) / 30)
    clipped(net, optimizer, loss, x, y)


@program
def transformer(**faults: Any) -> Findings:
    def make(parameters: Any) -> Optimizer:
        parameters = list(parameters)
        decayed = {"params": [p for p in parameters if p.ndim > 1]}
        others = {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0}
        return AdamW([decayed, others], 3e-3, weight_decay=0.01)

    return supervised(
        Transformer(), tokens(), optimizer=make, **{"loop": warmed_up, "steps": 120, **faults}
    )


class Attention(nn.Module):
    """A causal language model whose attention is written by hand; its head is its embedding."""

    def __init__(self, width: int = 16):
        super().__init__()
        self.words, self.places = nn.Embedding(12, width), nn.Embedding(10, width)
        nn.init.normal_(self.words.weight, std=0.1)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 12, bias=False)
        self.head.weight = self.words.weight
        self.register_buffer("mask", torch.ones(9, 9).tril() == 0, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.words(x) + self.places(torch.arange(x.shape[1]))
        query, key, value = self.mix(self.norm1(x)).chunk(3, -1)
        scores = query @ key.transpose(1, 2) / 4
        weights = scores.masked_fill(self.mask, float("-inf")).softmax(-1)
        x = x + self.out(weights @ value)
        return self.head(self.norm(x + self.mlp(self.norm2(x))))


@program
def language_model(**faults: Any) -> Findings:
    generator = torch.Generator().manual_seed(7)
    start = torch.randint(12, (512, 1), generator=generator)
    jumps = torch.randint(1, 3, (512, 9), generator=generator)
    text = torch.cat([start, start + jumps.cumsum(1)], 1) % 12

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output.flatten(0, 1), target.flatten())

    data = text[:, :-1], text[:, 1:]
    return supervised(Attention(), data, loss, optimizer=lambda p: AdamW(p, 3e-3), **faults)


# --- other tasks -----------------------------------------------------------------------------


@program
def regression(**faults: Any) -> Findings:
    net = nn.Sequential(nn.Linear(3, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, 1))
    return supervised(net, curve(), F.mse_loss, **faults)


@program
def binary_classifier_with_accuracy(**faults: Any) -> Findings:
    x, y = rows(classes=2)
    net = nn.Sequential(nn.Linear(12, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 1))

    def loss(output: Tensor, target: Tensor) -> Tensor:
        correct = ((output > 0) == target).float().mean()
        assert correct >= 0
        return F.binary_cross_entropy_with_logits(output, target)

    return supervised(net, (x, y[:, None].float()), loss, **faults)


@program
def convolutional_autoencoder(**faults: Any) -> Findings:
    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ELU(), nn.Conv2d(8, 4, 3, stride=2)),
        *(nn.ConvTranspose2d(4, 8, 4, stride=2), nn.ELU(), nn.ConvTranspose2d(8, 1, 4, stride=2)),
        nn.Sigmoid(),
    )
    x, _ = images()
    pictures = torch.sigmoid(2 * x)

    def loss(output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output[..., :8, :8], target)

    return supervised(net, (pictures, pictures), loss, **faults)


class Unet(nn.Module):
    """Down, up, and across; a class for every pixel."""

    def __init__(self):
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(8, 16, 3, padding=1), nn.GroupNorm(2, 16), nn.ReLU())
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.last = nn.Sequential(nn.Conv2d(16, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        across = self.down(x)
        up = self.up(self.deep(F.max_pool2d(across, 2)))
        return self.last(torch.cat([across, up], 1))


@program
def segmentation(**faults: Any) -> Findings:
    x, _ = images(256)
    target = (F.avg_pool2d(x, 3, stride=1, padding=1)[:, 0] > 0.3).long()
    return supervised(Unet(), (x, target), **{"steps": 120, **faults})


class Vae(nn.Module):
    """A variational autoencoder of pictures between 0 and 1, which returns what its loss needs."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU())
        self.mean, self.log_var = nn.Linear(32, 4), nn.Linear(32, 4)
        self.decoder = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 64))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        hidden = self.encoder(x)
        mean, log_var = self.mean(hidden), self.log_var(hidden)
        code = mean + torch.randn_like(mean) * (log_var / 2).exp()
        return self.decoder(code), mean, log_var


@program
def variational_autoencoder(**faults: Any) -> Findings:
    x, _ = images()
    pictures = (x > 0.5).float()

    def loss(output: tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        logits, mean, log_var = output
        rebuilt = F.binary_cross_entropy_with_logits(logits, target.flatten(1), reduction="sum")
        divergence = (mean.square() + log_var.exp() - 1 - log_var).sum() / 2
        return (rebuilt + divergence) / len(mean)

    return supervised(Vae(), (pictures, pictures), loss, **faults)


class TwoHeads(nn.Module):
    """A trunk with a class and a number as outputs."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 24), nn.ReLU())
        self.kind, self.size = nn.Linear(24, 4), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(x)
        return self.kind(hidden), self.size(hidden).squeeze(1)


@program
def two_heads(**faults: Any) -> Findings:
    x, y = rows()
    target = torch.stack([y.float(), x[:, 0] * x[:, 1]], 1)

    def loss(output: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        kind, size = output
        return F.cross_entropy(kind, target[:, 0].long()) + 0.1 * F.mse_loss(size, target[:, 1])

    return supervised(TwoHeads(), (x, target), loss, **faults)


class Encoder(nn.Module):
    """A small encoder whose outputs lie on the unit sphere."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 8))

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(self.layers(x), dim=1)


@program
def siamese(**faults: Any) -> Findings:
    net = nn.Module()
    net.encoder = Encoder()
    net.forward = lambda x: torch.stack([net.encoder(x), net.encoder(x.flip(0))])

    def loss(output: Tensor, target: Tensor) -> Tensor:
        distance = (output[0] - output[1]).square().sum(1)
        same = (target == target.flip(0)).float()
        return (same * distance + (1 - same) * F.relu(1 - distance)).mean()

    return supervised(net, rows(), loss, **faults)


@program
def contrastive(**faults: Any) -> Findings:
    """Two noisy views of each sample, and labels that pair all with all."""

    def loss(output: Tensor, target: Tensor) -> Tensor:
        mask = target.unsqueeze(1) == target
        scores = output @ output.T / 0.5
        scores = scores.masked_fill(torch.eye(len(output), dtype=torch.bool), -1e9)
        positive = (F.log_softmax(scores, 1) * mask.fill_diagonal_(False)).sum(1)
        return -(positive / mask.sum(1).clamp(min=1)).mean()

    return supervised(Encoder(), rows(), loss, **faults)


@program
def two_towers(**faults: Any) -> Findings:
    """Two encoders whose outputs are matched within the batch, from both sides."""

    class Towers(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right, self.scale = (
                Encoder(),
                Encoder(),
                nn.Parameter(torch.tensor(1.0)),
            )

        def forward(self, x: Tensor) -> Tensor:
            noisy = x + 0.5 * torch.randn_like(x)
            return self.scale.exp() * self.left(x) @ self.right(noisy).T

    def loss(output: Tensor, target: Tensor) -> Tensor:
        pairs = torch.arange(len(output))
        return (F.cross_entropy(output, pairs) + F.cross_entropy(output.T, pairs)) / 2

    return supervised(Towers(), rows(), loss, **faults)


# --- unusual loops ---------------------------------------------------------------------------


def accumulated(
    net: nn.Module, optimizer: Optimizer, loss: Any, x: Tensor, y: Tensor, **_: Any
) -> None:
    for some, some_y in zip(x.chunk(4), y.chunk(4), strict=True):
        (loss(net(some), some_y) / 4).backward()
    optimizer.step()
    optimizer.zero_grad()


@program
def gradient_accumulation(**faults: Any) -> Findings:
    net = nn.Sequential(
        *(nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(72, 4)),
    )
    return supervised(net, images(), **{"loop": accumulated, "steps": 120, **faults})


@program
def bf16_autocast(**faults: Any) -> Findings:
    def autocast(
        net: nn.Module, optimizer: Optimizer, loss: Any, x: Tensor, y: Tensor, **_: Any
    ) -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(net(x), y)
        value.backward()
        optimizer.step()

    net = nn.Sequential(
        nn.Linear(12, 32), nn.LayerNorm(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 4)
    )
    return supervised(net, rows(), **{"loop": autocast, **faults})


def scaled(
    net: nn.Module,
    optimizer: Optimizer,
    loss: Any,
    x: Tensor,
    y: Tensor,
    *,
    scaler: Any,
    unscale: bool = True,
    **_: Any,
) -> None:
    optimizer.zero_grad()
    scaler.scale(loss(net(x), y)).backward()
    if unscale:
        scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    scaler.step(optimizer)
    scaler.update()


@program
def gradient_scaler(**faults: Any) -> Findings:
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    net = nn.Sequential(nn.Linear(12, 32), nn.Hardswish(), nn.Linear(32, 4))
    return supervised(net, rows(), loop=scaled, scaler=scaler, **faults)


class Checkpointed(nn.Module):
    """Blocks whose inner values are computed again in the backward pass."""

    def __init__(self, reentrant: bool):
        super().__init__()
        self.reentrant = reentrant
        self.first = nn.Linear(12, 24)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(24, 24), nn.LayerNorm(24), nn.ReLU()) for _ in range(3)
        )
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)


@program
def checkpointing(**faults: Any) -> Findings:
    return supervised(Checkpointed(False), rows(), **{"steps": 120, **faults})


@program
def reentrant_checkpointing(**faults: Any) -> Findings:
    return supervised(Checkpointed(True), rows(), **{"steps": 120, **faults})


@program
def frozen_backbone(**faults: Any) -> Findings:
    """Fine-tuning of a head on a backbone that is trained, frozen, and in evaluation mode."""
    net = ResNet(2, 8)
    x, y = images()
    optimizer = Adam(net.parameters(), 3e-3)
    for batch in batches(x, y, 60):
        ordinary(net, optimizer, F.cross_entropy, *batch)
    net.head = nn.Linear(8, 4)

    def tuned(
        net: nn.Module, optimizer: Optimizer, loss: Any, x: Tensor, y: Tensor, **_: Any
    ) -> None:
        net.eval()
        net.head.train()
        ordinary(net, optimizer, loss, x, y)

    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith("head"))
    return supervised(net, (x, y), **{"loop": tuned, "steps": 120, **faults})


@program
def moving_average(**faults: Any) -> Findings:
    """A copy follows the network slowly and is what is evaluated; statistics are then renewed."""
    kept: list[nn.Module] = []

    def followed(
        net: nn.Module,
        optimizer: Optimizer,
        loss: Any,
        x: Tensor,
        y: Tensor,
        *,
        number: int,
        **_: Any,
    ) -> None:
        ordinary(net, optimizer, loss, x, y)
        if not kept:
            kept.append(deepcopy(net).requires_grad_(False))
        with torch.no_grad():
            for slow, fast in zip(kept[0].parameters(), net.parameters(), strict=True):
                slow.lerp_(fast, 0.1)
        if number % 50 == 0:
            torch.optim.swa_utils.update_bn([(x, y)] * 3, kept[0])
            torch.optim.swa_utils.update_bn([(x, y)] * 3, net)

    net = nn.Sequential(
        nn.Linear(12, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 4)
    )
    return supervised(net, rows(), **{"loop": followed, **faults})


@program
def monte_carlo_dropout(**faults: Any) -> Findings:
    """A network is scored with its dropout on, many times over, for its uncertainty."""

    def sampled(
        net: nn.Module,
        optimizer: Optimizer,
        loss: Any,
        x: Tensor,
        y: Tensor,
        *,
        number: int,
        **_: Any,
    ) -> None:
        ordinary(net, optimizer, loss, x, y)
        if number % 40 == 39:
            net.eval()
            for module in net.modules():
                module.train(isinstance(module, nn.Dropout))
            with torch.no_grad():
                assert torch.stack([net(x) for _ in range(8)]).std(0).mean() > 0
            net.train()

    net = nn.Sequential(
        *(nn.Linear(12, 48), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(48, 48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 4)),
    )
    return supervised(net, rows(), **{"loop": sampled, **faults})


@program
def closure(**faults: Any) -> Findings:
    """L-BFGS, which evaluates the loss several times in a step, on all data at once."""
    x, y = curve(200)
    net = nn.Sequential(nn.Linear(3, 12), nn.Tanh(), nn.Linear(12, 1))
    optimizer = torch.optim.LBFGS(net.parameters(), 0.5, max_iter=5)
    with watch(net, optimizer, every=1) as watching:
        for _ in range(25):

            def evaluate() -> Tensor:
                optimizer.zero_grad()
                value = F.mse_loss(net(x), y)
                value.backward()
                return value

            optimizer.step(evaluate)
    return watching.findings()


# --- several networks ------------------------------------------------------------------------


@program
def two_optimizers(**faults: Any) -> Findings:
    """Embeddings with sparse gradients have an optimizer of their own."""
    words, rest = nn.Embedding(12, 16, sparse=True), nn.GRU(16, 24, batch_first=True)
    head = nn.Linear(24, 3)
    net = nn.ModuleDict({"words": words, "memory": rest, "head": head})
    optimizers = (
        torch.optim.SparseAdam(words.parameters(), 5e-3),
        Adam([*rest.parameters(), *head.parameters()], 5e-3),
    )
    with watch(net, optimizers, every=1) as watching:
        for x, y in batches(*tokens(), 120):
            for optimizer in optimizers:
                optimizer.zero_grad()
            F.cross_entropy(head(rest(words(x))[0][:, -1]), y).backward()
            for optimizer in optimizers:
                optimizer.step()
    return watching.findings()


@program
def adversarial(generator: Alter = same, discriminator: Alter = same, **_: Any) -> Findings:
    """A generator of points on a ring, and its judge; each has an optimizer."""
    g = generator(
        nn.Sequential(
            *(nn.Linear(4, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU()),
            *(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2), nn.Tanh()),
        )
    )
    d = discriminator(
        nn.Sequential(
            *(nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2)),
            nn.Linear(32, 1),
        )
    )
    optimizers = [Adam(net.parameters(), 2e-3, betas=(0.5, 0.999)) for net in (g, d)]
    real, fake = torch.ones(32, 1), torch.zeros(32, 1)
    with watch({"g": g, "d": d}, optimizers, every=1) as watching:
        for _ in range(200):
            angles = 6.2832 * torch.rand(32)
            ring = 0.7 * torch.stack([angles.cos(), angles.sin()], 1)
            made = g(torch.randn(32, 4))
            optimizers[1].zero_grad()
            judged = F.binary_cross_entropy_with_logits(d(ring), real)
            (judged + F.binary_cross_entropy_with_logits(d(made.detach()), fake)).backward()
            optimizers[1].step()
            optimizers[0].zero_grad()
            F.binary_cross_entropy_with_logits(d(made), real).backward()
            optimizers[0].step()
    return watching.findings()


class Agent(nn.Module):
    """A policy and a value over one trunk."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(12, 32), nn.Tanh())
        self.policy, self.value = nn.Linear(32, 4), nn.Linear(32, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(x)
        return self.policy(hidden), self.value(hidden).squeeze(1)


@program
def actor_critic(**_: Any) -> Findings:
    """The right action of four earns a reward; actions are drawn without gradients first."""
    net = Agent()
    optimizer = Adam(net.parameters(), 3e-3)
    with watch(net, optimizer, every=1) as watching:
        for x, y in batches(*rows(), 200):
            with torch.no_grad():
                chosen = torch.distributions.Categorical(logits=net(x)[0]).sample()
            reward = (chosen == y).float()
            logits, value = net(x)
            policy = torch.distributions.Categorical(logits=logits)
            advantage = reward - value.detach()
            gain = (policy.log_prob(chosen) * advantage).mean() + 0.01 * policy.entropy().mean()
            optimizer.zero_grad()
            (0.5 * F.mse_loss(value, reward) - gain).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.5)
            optimizer.step()
    return watching.findings()


@program
def value_learning(**_: Any) -> Findings:
    """Q-learning on a walk of 8 places, against a slow copy of the network."""
    net = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 2))
    slow = deepcopy(net).requires_grad_(False)
    optimizer = RMSprop(net.parameters(), 1e-3)
    places = torch.eye(8)
    with watch({"net": net, "slow": slow}, optimizer, every=1) as watching:
        for number in range(200):
            place, action = torch.randint(8, (32,)), torch.randint(2, (32,))
            after = (place + 2 * action - 1).clamp(0, 7)
            reward = (after == 7).float()
            with torch.no_grad():
                goal = reward + 0.8 * slow(places[after]).amax(1)
            guess = net(places[place]).gather(1, action[:, None]).squeeze(1)
            optimizer.zero_grad()
            F.smooth_l1_loss(guess, goal).backward()
            optimizer.step()
            if number % 20 == 0:
                slow.load_state_dict(net.state_dict())
    return watching.findings()


@program
def distillation(**_: Any) -> Findings:
    """A small network learns from the answers of a larger one that is not trained."""
    teacher = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 4))
    student = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    first, second = Adam(teacher.parameters(), 5e-3), Adam(student.parameters(), 5e-3)
    for x, y in batches(*rows(), 100):
        ordinary(teacher, first, F.cross_entropy, x, y)
    teacher.eval()
    with watch({"teacher": teacher, "student": student}, second, every=1) as watching:
        for x, y in batches(*rows(), 150):
            with torch.no_grad():
                goal = F.softmax(teacher(x) / 2, 1)
            output = student(x)
            soft = F.kl_div(F.log_softmax(output / 2, 1), goal, reduction="batchmean")
            second.zero_grad()
            (F.cross_entropy(output, y) + 4 * soft).backward()
            second.step()
    return watching.findings()


@program
def momentum_contrast(**_: Any) -> Findings:
    """An encoder with batch norm predicts what a slow copy of it makes of another view."""

    def encoder() -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(12, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 8)
        )

    fast = nn.ModuleDict({"encoder": encoder(), "head": nn.Sequential(nn.ReLU(), nn.Linear(8, 8))})
    slow = encoder().requires_grad_(False)
    slow.load_state_dict(fast["encoder"].state_dict())
    optimizer = SGD(fast.parameters(), 0.05, momentum=0.9)
    with watch({"fast": fast, "slow": slow}, optimizer, every=1) as watching:
        for x, _ in batches(*rows(), 150):
            views = [x + 0.3 * torch.randn_like(x) for _ in range(2)]
            guess = fast["head"](fast["encoder"](views[0]))
            with torch.no_grad():
                goal = slow(views[1])
            optimizer.zero_grad()
            (2 - 2 * F.cosine_similarity(guess, goal, dim=1)).mean().backward()
            optimizer.step()
            with torch.no_grad():
                for old, new in zip(slow.parameters(), fast["encoder"].parameters(), strict=True):
                    old.lerp_(new, 0.05)
    return watching.findings()
