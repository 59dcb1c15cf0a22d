"""Small networks on which folding goes wrong: each is right for one reason only, or not at all.

Every entry says what must be folded and what must be left, so that a fold that is merely refused
where it was due fails its test as well. Norms get random statistics, weights and shifts, since
fresh ones (mean 0, variance 1, weight 1) would hide most mistakes.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils._pytree import tree_flatten

from normwise.edit import fold


class Net(nn.Module):
    """A network whose forward is given as a function of itself and its inputs."""

    def __init__(self, forward: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        self._function = forward
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, *inputs: Tensor) -> Any:
        return self._function(self, *inputs)


@dataclass(frozen=True)
class Case:
    """A network, an example, and what is expected of folding it.

    Attributes:
        name: of the case.
        make: makes the network, before its norms are randomized.
        example: shape of the input, or a function that makes the inputs.
        folded: places of norms and layers that must be folded, such as `bn` or `fc1`.
        left: places that must be left, and a word of the reason.
    """

    name: str
    make: Callable[[], nn.Module]
    example: Any
    folded: tuple[str, ...] = ()
    left: dict[str, str] | None = None

    def build(self) -> tuple[nn.Module, Any]:
        torch.manual_seed(0)
        network = randomized(self.make())
        made = self.example() if callable(self.example) else torch.randn(self.example)
        return network, made


def randomized(network: nn.Module) -> nn.Module:
    """Give every norm a scale, a shift and statistics that make a difference."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(
                module, nn.modules.batchnorm._NormBase | nn.GroupNorm | nn.LayerNorm | nn.RMSNorm
            ):
                for name in ("weight", "bias", "running_mean"):
                    if getattr(module, name, None) is not None:
                        getattr(module, name).normal_()
                if getattr(module, "running_var", None) is not None:
                    module.running_var.uniform_(0.5, 2)
    return network


def net(forward: Callable[..., Any], **modules: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: Net(forward, **{name: make() for name, make in modules.items()})


def seq(*makers: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*(make() for make in makers))


def conv(*args: Any, kind: type = nn.Conv2d, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: kind(*args, **kwargs)


def linear(*args: Any, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(*args, **kwargs)


def bn1(c: int, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: nn.BatchNorm1d(c, **kwargs)


def bn2(c: int, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: nn.BatchNorm2d(c, **kwargs)


def bn3(c: int, **kwargs: Any) -> Callable[[], nn.Module]:
    return lambda: nn.BatchNorm3d(c, **kwargs)


def tied() -> nn.Module:
    network = nn.Sequential(
        nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 6), nn.BatchNorm1d(6)
    )
    network[3].weight = network[0].weight
    return network


def shared_layer(self: Any, x: Tensor) -> Tensor:
    return self.fc(F.relu(self.bn(self.fc(x))))


def shared_norm(self: Any, x: Tensor) -> Tensor:
    return self.bn(self.b(F.relu(self.bn(self.a(x)))))


def functional(self: Any, x: Tensor) -> Tensor:
    x = F.conv2d(x, self.conv.weight, self.conv.bias)
    bn = self.bn
    return F.dropout(
        F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias), 0.3, self.training
    )


def amp(self: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = self.bn(self.conv(x))
    return self.out(self.conv2(x.float()))


def in_place_behind(self: Any, x: Tensor) -> Tensor:
    y = self.bn(x)
    x.relu_()
    return self.fc(y) + x


def in_place_on_a_view(self: Any, x: Tensor) -> Tensor:
    y = self.a(x)
    z = self.bn(y)
    y[:, 0].add_(1)
    return self.fc(z)


def attention(self: Any, x: Tensor) -> Tensor:
    y = self.ln(x)
    q, k, v = self.q(y), self.k(y), self.v(y)
    return self.out(F.scaled_dot_product_attention(q, k, v))


def frozen(self: Any, x: Tensor) -> Tensor:
    scale = self.bn.weight * (self.bn.running_var + self.bn.eps).rsqrt()
    shift = self.bn.bias - self.bn.running_mean * scale
    return self.conv(x) * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


def squeeze_excite(self: Any, x: Tensor) -> Tensor:
    x = self.bn(self.conv(x))
    return x * self.up(F.relu(self.down(x.mean((2, 3))))).sigmoid()[:, :, None, None]


CASES = [
    # --- a norm behind a layer ---------------------------------------------------------------
    Case("linear-bn", seq(linear(4, 6), bn1(6)), (5, 4), ("1",)),
    Case("linear-no-bias-bn", seq(linear(4, 6, bias=False), bn1(6)), (5, 4), ("1",)),
    Case("linear-bn-no-affine", seq(linear(4, 6), bn1(6, affine=False)), (5, 4), ("1",)),
    Case("conv1d-bn", seq(conv(3, 6, 3, kind=nn.Conv1d), bn1(6)), (2, 3, 9), ("1",)),
    Case("conv2d-bn", seq(conv(3, 6, 3, padding=1), bn2(6)), (2, 3, 7, 6), ("1",)),
    Case("conv2d-bn-no-affine", seq(conv(3, 6, 3), bn2(6, affine=False)), (2, 3, 7, 6), ("1",)),
    Case("conv3d-bn", seq(conv(2, 4, 2, kind=nn.Conv3d), bn3(4)), (2, 2, 4, 5, 4), ("1",)),
    Case("grouped", seq(conv(4, 6, 3, groups=2), bn2(6)), (2, 4, 7, 6), ("1",)),
    Case("depthwise", seq(conv(4, 8, 3, groups=4), bn2(8)), (2, 4, 7, 6), ("1",)),
    Case("dilated-strided", seq(conv(3, 6, 3, dilation=2, stride=2), bn2(6)), (2, 3, 9, 9), ("1",)),
    Case("same-padding", seq(conv(3, 6, 3, padding="same"), bn2(6)), (2, 3, 7, 6), ("1",)),
    Case(
        "reflect",
        seq(conv(3, 6, 3, padding=1, padding_mode="reflect"), bn2(6)),
        (2, 3, 7, 6),
        ("1",),
    ),
    Case(
        "transposed1d",
        seq(conv(4, 6, 3, stride=2, kind=nn.ConvTranspose1d), bn1(6)),
        (2, 4, 5),
        ("1",),
    ),
    Case(
        "transposed2d-grouped",
        seq(conv(4, 6, 3, stride=2, groups=2, output_padding=1, kind=nn.ConvTranspose2d), bn2(6)),
        (2, 4, 5, 4),
        ("1",),
    ),
    Case(
        "transposed3d", seq(conv(2, 3, 2, kind=nn.ConvTranspose3d), bn3(3)), (2, 2, 3, 3, 2), ("1",)
    ),
    Case("sync-bn", seq(conv(3, 6, 3), lambda: nn.SyncBatchNorm(6)), (2, 3, 7, 6), ("1",)),
    Case(
        "instance-norm-with-statistics",
        seq(conv(3, 6, 3), lambda: nn.InstanceNorm2d(6, affine=True, track_running_stats=True)),
        (2, 3, 7, 6),
        ("1",),
    ),
    Case(
        "functional",
        net(functional, conv=conv(3, 6, 3), bn=bn2(6)),
        (2, 3, 7, 6),
        ("batch_norm", "dropout"),
    ),
    Case("two-bns", seq(linear(4, 6), bn1(6), bn1(6)), (5, 4), ("1", "2")),
    Case("dropout-between", seq(linear(4, 6), nn.Dropout, bn1(6)), (5, 4), ("1", "2")),
    Case("identity-between", seq(linear(4, 6), nn.Identity, bn1(6)), (5, 4), ("2",)),
    Case(
        "detach-between",
        net(lambda s, x: s.bn(s.fc(x).detach()), fc=linear(4, 6), bn=bn1(6)),
        (5, 4),
        ("bn", "detach"),
    ),
    Case(
        "avgpool-between", seq(conv(3, 6, 3), lambda: nn.AvgPool2d(2), bn2(6)), (2, 3, 8, 6), ("2",)
    ),
    Case(
        "mean-between",
        net(lambda s, x: s.bn(s.conv(x).mean((2, 3))), conv=conv(3, 6, 3), bn=bn1(6)),
        (2, 3, 8, 6),
        ("bn",),
    ),
    Case(
        "padded-avgpool-between",
        seq(conv(3, 6, 3), lambda: nn.AvgPool2d(3, padding=1), bn2(6)),
        (2, 3, 8, 6),
        left={"2": "channels"},
    ),
    Case(
        "weight-norm",
        seq(lambda: parametrizations.weight_norm(nn.Linear(4, 6)), bn1(6)),
        (5, 4),
        ("1",),
    ),
    Case(
        "spectral-norm",
        seq(lambda: parametrizations.spectral_norm(nn.Linear(4, 6)), bn1(6)),
        (5, 4),
        ("1",),
    ),
    Case("tiny-variance", seq(linear(4, 6), lambda: tiny_variance()), (5, 4), ("batch_norm",)),
    # --- axes --------------------------------------------------------------------------------
    Case(
        "transpose-around",
        net(lambda s, x: s.bn(s.fc(x).transpose(1, 2)).transpose(1, 2), fc=linear(4, 6), bn=bn1(6)),
        (3, 5, 4),
        ("bn", "transpose"),
    ),
    Case(
        "flatten-around",
        net(
            lambda s, x: s.bn(s.fc(x).flatten(0, 1)).view(x.shape[0], -1, 6),
            fc=linear(4, 6),
            bn=bn1(6),
        ),
        (3, 5, 4),
        ("bn", "reshape"),
    ),
    Case("wrong-axis", seq(linear(4, 6), bn1(5)), (3, 5, 4), left={"1": "channels"}),
    Case("wrong-axis-same-size", seq(linear(4, 6), bn1(6)), (3, 6, 4), left={"1": "channels"}),
    Case(
        "unflatten-to-channels",
        net(lambda s, x: s.bn(s.fc(x).view(-1, 3, 2, 2)), fc=linear(4, 12), bn=bn2(3)),
        (3, 4),
        ("bn",),
    ),
    Case(
        "features-to-batch",
        net(lambda s, x: s.bn(s.fc(x).view(-1, 3)), fc=linear(4, 6), bn=bn1(3)),
        (3, 4),
        ("bn",),
    ),
    Case(
        "features-to-batch-shifted",
        net(lambda s, x: s.bn(s.fc(x).view(-1, 4)), fc=linear(4, 6), bn=bn1(4)),
        (4, 4),
        left={"bn": "channels"},
    ),
    Case(
        "flatten-conv", seq(conv(3, 2, 3), nn.Flatten, bn1(8)), (3, 3, 4, 4), left={"2": "channels"}
    ),
    Case(
        "pixel-shuffle",
        seq(conv(3, 8, 3), lambda: nn.PixelShuffle(2), bn2(2)),
        (3, 3, 5, 4),
        ("2",),
    ),
    Case(
        "channel-shuffle",
        seq(conv(3, 8, 3), lambda: nn.ChannelShuffle(2), bn2(8)),
        (3, 3, 5, 4),
        ("2",),
    ),
    Case(
        "unbatched-conv",
        net(lambda s, x: s.bn(s.conv(x)), conv=conv(3, 6, 3, kind=nn.Conv1d), bn=bn1(7)),
        (3, 9),
        left={"bn": "channels"},
    ),
    # --- somebody else is watching -----------------------------------------------------------
    Case(
        "two-readers",
        net(lambda s, x: s.bn(y := s.fc(x)) + y, fc=linear(4, 6), bn=bn1(6)),
        (5, 4),
        left={"bn": "used 2 times"},
    ),
    Case(
        "an-output",
        net(lambda s, x: (s.bn(y := s.fc(x)), y), fc=linear(4, 6), bn=bn1(6)),
        (5, 4),
        left={"bn": "used 2 times"},
    ),
    Case(
        "residual", net(lambda s, x: s.bn(s.fc(x)) + x, fc=linear(4, 4), bn=bn1(4)), (5, 4), ("bn",)
    ),
    Case("relu-between", seq(linear(4, 6), nn.ReLU, bn1(6)), (5, 4), left={"2": "relu"}),
    Case(
        "bn-on-sum",
        net(lambda s, x: s.bn(s.a(x) + s.b(x)), a=linear(4, 6), b=linear(4, 6), bn=bn1(6)),
        (5, 4),
        left={"bn": "add"},
    ),
    Case(
        "bn-on-concatenation",
        net(
            lambda s, x: s.bn(torch.cat([s.a(x), s.b(x)], 1)),
            a=linear(4, 3),
            b=linear(4, 3),
            bn=bn1(6),
        ),
        (5, 4),
        left={"bn": "cat"},
    ),
    Case(
        "layer-used-twice",
        net(shared_layer, fc=linear(6, 6), bn=bn1(6)),
        (5, 6),
        left={"bn": "shares its weight"},
    ),
    Case(
        "norm-used-twice",
        net(shared_norm, a=linear(6, 6), b=linear(6, 6), bn=bn1(6)),
        (5, 6),
        ("bn",),
    ),
    Case("tied-weights", tied, (5, 6), left={"1": "shares its weight", "4": "shares its weight"}),
    Case(
        "weight-read-elsewhere",
        net(lambda s, x: s.bn(s.fc(x)) + s.fc.weight.sum(), fc=linear(4, 6), bn=bn1(6)),
        (5, 4),
        left={"bn": "shares its weight"},
    ),
    Case(
        "in-place-relu",
        seq(conv(3, 6, 3), bn2(6), lambda: nn.ReLU(inplace=True)),
        (2, 3, 7, 6),
        ("1",),
    ),
    Case(
        "in-place-on-the-conv",
        net(lambda s, x: s.bn(F.relu_(s.conv(x))), conv=conv(3, 6, 3), bn=bn2(6)),
        (2, 3, 7, 6),
        left={"bn": "relu_"},
    ),
    Case(
        "in-place-behind",
        net(in_place_behind, bn=bn1(4), fc=linear(4, 4)),
        (5, 4),
        left={"bn": "in place"},
    ),
    Case(
        "in-place-on-a-view",
        net(in_place_on_a_view, a=linear(4, 6), bn=bn1(6), fc=linear(6, 2)),
        (5, 4),
        left={"bn": "used 2 times"},
    ),
    Case(
        "generated-weight",
        net(
            lambda s, x: s.bn(F.linear(x, s.g(x).view(6, 4))),
            g=lambda: nn.Sequential(nn.Linear(4, 24), MeanOverBatch()),
            bn=bn1(6),
        ),
        (5, 4),
        left={"bn": "depend on the input"},
    ),
    # --- statistics --------------------------------------------------------------------------
    Case(
        "bn-without-statistics",
        seq(linear(4, 6), bn1(6, track_running_stats=False)),
        (5, 4),
        left={"1": "statistics of its input"},
    ),
    Case(
        "bn-always-training",
        net(lambda s, x: F.batch_norm(s.fc(x), None, None, training=True), fc=linear(4, 6)),
        (5, 4),
        left={"batch_norm": "statistics of its input"},
    ),
    Case(
        "instance-norm",
        seq(conv(3, 6, 3), lambda: nn.InstanceNorm2d(6)),
        (2, 3, 7, 6),
        left={"1": "statistics of its input"},
    ),
    Case(
        "frozen-by-hand", net(frozen, conv=conv(3, 6, 3), bn=bn2(6)), (2, 3, 7, 6), ("mul", "add")
    ),
    # --- a norm ahead of a layer -------------------------------------------------------------
    Case("bn-linear", seq(bn1(4), linear(4, 6)), (5, 4), ("0",)),
    Case("bn-linear-no-bias", seq(bn1(4), linear(4, 6, bias=False)), (5, 4), ("0",)),
    Case("bn-conv", seq(bn2(3), conv(3, 6, 3)), (2, 3, 7, 6), ("0",)),
    Case("bn-conv-grouped", seq(bn2(4), conv(4, 6, 3, groups=2)), (2, 4, 7, 6), ("0",)),
    Case(
        "bn-conv-padded", seq(bn2(3), conv(3, 6, 3, padding=1)), (2, 3, 7, 6), left={"0": "borders"}
    ),
    Case(
        "bn-conv-circular",
        seq(bn2(3), conv(3, 6, 3, padding=1, padding_mode="circular")),
        (2, 3, 7, 6),
        ("0",),
    ),
    Case(
        "bn-conv-same",
        seq(bn2(3), conv(3, 6, 3, padding="same")),
        (2, 3, 7, 6),
        left={"0": "borders"},
    ),
    Case("bn-conv-same-1x1", seq(bn2(3), conv(3, 6, 1, padding="same")), (2, 3, 7, 6), ("0",)),
    Case(
        "bn-conv-padded-1x1",
        seq(bn2(3), conv(3, 6, 1, padding=1)),
        (2, 3, 7, 6),
        left={"0": "borders"},
    ),
    Case(
        "bn-transposed",
        seq(bn2(4), conv(4, 6, 3, kind=nn.ConvTranspose2d)),
        (2, 4, 5, 4),
        left={"0": "borders"},
    ),
    Case(
        "bn-transposed-1x1",
        seq(bn2(4), conv(4, 6, 1, groups=2, kind=nn.ConvTranspose2d)),
        (2, 4, 5, 4),
        ("0",),
    ),
    Case(
        "bn-transposed-1x1-strided",
        seq(bn2(4), conv(4, 6, 1, stride=2, kind=nn.ConvTranspose2d)),
        (2, 4, 5, 4),
        left={"0": "borders"},
    ),
    Case("bn-flatten-linear", seq(bn2(3), nn.Flatten, linear(48, 5)), (2, 3, 4, 4), ("0",)),
    Case(
        "bn-pool-linear",
        seq(bn2(3), lambda: nn.AdaptiveAvgPool2d(1), nn.Flatten, linear(3, 5)),
        (2, 3, 4, 4),
        ("0",),
    ),
    Case("bn-relu-linear", seq(bn1(4), nn.ReLU, linear(4, 6)), (5, 4), left={"0": "relu"}),
    Case(
        "bn-two-linears",
        net(lambda s, x: s.a(y := s.bn(x)) * s.b(y), bn=bn1(4), a=linear(4, 6), b=linear(4, 6)),
        (5, 4),
        ("bn",),
    ),
    Case(
        "bn-linear-and-output",
        net(lambda s, x: (s.a(y := s.bn(x)), y), bn=bn1(4), a=linear(4, 6)),
        (5, 4),
        left={"bn": "output"},
    ),
    Case(
        "bn-live-dropout-linear",
        net(lambda s, x: s.a(F.dropout(s.bn(x), 0.5)), bn=bn1(4), a=linear(4, 6)),
        (5, 4),
        left={"bn": "dropout", "dropout": "training=True"},
    ),
    # --- scale and shift of other norms ------------------------------------------------------
    Case("ln-linear", seq(lambda: nn.LayerNorm(4), linear(4, 6)), (5, 4), ("0",)),
    Case("rms-linear", seq(lambda: nn.RMSNorm(4), linear(4, 6, bias=False)), (5, 3, 4), ("0",)),
    Case(
        "ln-two-axes-linear",
        seq(lambda: nn.LayerNorm((3, 4)), nn.Flatten, linear(12, 6)),
        (5, 3, 4),
        ("0",),
    ),
    Case(
        "ln-two-axes-tokens",
        seq(lambda: nn.LayerNorm((3, 4)), linear(4, 6)),
        (5, 3, 4),
        left={"0": "channels"},
    ),
    Case(
        "ln-relu", seq(lambda: nn.LayerNorm(4), nn.ReLU, linear(4, 6)), (5, 4), left={"0": "relu"}
    ),
    Case(
        "ln-no-affine",
        seq(lambda: nn.LayerNorm(4, elementwise_affine=False), linear(4, 6)),
        (5, 4),
        left={"0": "no scale"},
    ),
    Case("group-norm-conv", seq(lambda: nn.GroupNorm(2, 4), conv(4, 6, 3)), (2, 4, 7, 6), ("0",)),
    Case(
        "attention",
        net(
            attention,
            ln=lambda: nn.LayerNorm(4),
            q=linear(4, 4),
            k=linear(4, 4),
            v=linear(4, 4),
            out=linear(4, 4),
        ),
        (2, 5, 4),
        ("ln",),
    ),
    # --- consecutive layers ------------------------------------------------------------------
    Case("linear-linear", seq(linear(4, 6), linear(6, 3)), (5, 4), ("0",)),
    Case(
        "linear-bn-linear", seq(linear(4, 6, bias=False), bn1(6), linear(6, 3)), (5, 4), ("0", "1")
    ),
    Case("low-rank", seq(linear(32, 2), linear(2, 32)), (5, 32), left={"1": "more work"}),
    Case("linear-dropout-linear", seq(linear(4, 6), nn.Dropout, linear(6, 3)), (5, 4), ("0", "1")),
    # --- removal -----------------------------------------------------------------------------
    Case(
        "every-dropout",
        seq(nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout, conv(3, 2, 1)),
        (2, 3, 4, 5),
        ("0", "1", "2", "3"),
    ),
    Case(
        "transposes-cancel",
        net(lambda s, x: s.fc(x.transpose(1, 2).transpose(1, 2)), fc=linear(4, 6)),
        (3, 5, 4),
        ("transpose",),
    ),
    Case(
        "transposes-that-do-not",
        net(lambda s, x: s.fc(x.transpose(1, 2).transpose(0, 1)), fc=linear(5, 6)),
        (3, 5, 4),
    ),
    Case(
        "scaled",
        net(lambda s, x: s.b(F.relu(s.a(x) * 0.5 - s.a.bias)) / 2, a=linear(4, 6), b=linear(6, 2)),
        (5, 4),
        ("mul", "sub", "div"),
    ),
    Case("nothing", seq(linear(4, 6), nn.ReLU, linear(6, 2)), (5, 4)),
    # --- structure ---------------------------------------------------------------------------
    Case("nested", seq(seq(linear(4, 6), seq(bn1(6), nn.ReLU)), linear(6, 2)), (5, 4), ("0.1.0",)),
    Case(
        "squeeze-excite",
        net(squeeze_excite, conv=conv(3, 6, 3), bn=bn2(6), down=linear(6, 2), up=linear(2, 6)),
        (2, 3, 7, 6),
        ("bn",),
    ),
    Case(
        "dict-output",
        net(lambda s, x: {"y": s.bn(s.fc(x)), "x": [x, 3]}, fc=linear(4, 6), bn=bn1(6)),
        (5, 4),
        ("bn",),
    ),
    Case(
        "two-inputs",
        net(lambda s, x, y: s.bn(s.fc(x)) + y, fc=linear(4, 6), bn=bn1(6)),
        lambda: (torch.randn(5, 4), torch.randn(5, 6)),
        ("bn",),
    ),
    Case(
        "embedding",
        net(
            lambda s, x: s.bn(s.fc(s.e(x)).mean(1)),
            e=lambda: nn.Embedding(9, 4),
            fc=linear(4, 6),
            bn=bn1(6),
        ),
        lambda: torch.randint(9, (3, 5)),
        ("bn",),
    ),
    Case(
        "lstm",
        net(
            lambda s, x: s.bn(s.fc(s.rnn(x)[0][:, -1])),
            rnn=lambda: nn.LSTM(4, 5, batch_first=True),
            fc=linear(5, 6),
            bn=bn1(6),
        ),
        (3, 7, 4),
        ("bn",),
    ),
    Case(
        "amp-inside",
        net(amp, conv=conv(3, 6, 3), bn=bn2(6), conv2=conv(6, 4, 1), out=bn2(4)),
        (2, 3, 7, 6),
        ("out",),
        left={"wrap_with_autocast": "a mode of their own"},
    ),
    Case(
        "float64",
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)).double(),
        lambda: torch.randn(2, 3, 7, 6).double(),
        ("1",),
    ),
    Case(
        "bfloat16",
        lambda: nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6)).bfloat16(),
        lambda: torch.randn(5, 4).bfloat16(),
        ("1",),
    ),
    Case(
        "channels-last",
        lambda: nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)).to(
            memory_format=torch.channels_last
        ),
        lambda: torch.randn(2, 3, 7, 6).to(memory_format=torch.channels_last),
        ("1",),
    ),
    Case("batch-of-one", seq(conv(3, 6, 3), bn2(6)), (1, 3, 7, 6), ("1",)),
    Case(
        "fixed-batch",
        net(lambda s, x: s.bn(s.fc(x)).view(3, 12), fc=linear(4, 12), bn=bn1(12)),
        (3, 4),
        ("bn", "reshape"),
    ),
    Case(
        "branch-on-batch",
        net(lambda s, x: s.bn(s.fc(x)) if len(x) > 2 else s.fc(x), fc=linear(4, 6), bn=bn1(6)),
        (3, 4),
        ("bn",),
    ),
    Case(
        "branch-on-one",
        net(lambda s, x: s.bn(s.fc(x)) if len(x) > 1 else s.fc(x), fc=linear(4, 6), bn=bn1(6)),
        (3, 4),
        ("bn",),
    ),
]


class MeanOverBatch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(0)


def tiny_variance() -> nn.Module:
    class Tiny(nn.BatchNorm1d):
        def forward(self, x: Tensor) -> Tensor:
            return F.batch_norm(x, self.running_mean, self.running_var * 1e-10, eps=1e-12)

    return Tiny(6)


TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def inputs_of(example: Any) -> tuple[Any, ...]:
    return example if isinstance(example, tuple) else (example,)


def another(example: Any) -> tuple[Any, ...]:
    """Return inputs like the example's that fold has not seen."""
    random = torch.Generator().manual_seed(99)
    return tuple(
        torch.randn(x.shape, generator=random).to(x.dtype) * 2 + 1 if x.is_floating_point() else x
        for x in inputs_of(example)
    )


def evaluated(network: nn.Module, inputs: tuple[Any, ...]) -> Any:
    with torch.no_grad():
        torch.manual_seed(3)
        return network(*(x.clone() for x in inputs))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_agrees_with_the_original_and_folds_what_is_due(case: Case):
    network, example = case.build()
    kept = copy.deepcopy(network.state_dict())
    folded = fold(network, example)

    for inputs in (inputs_of(example), another(example)):
        wanted, wanted_spec = tree_flatten(evaluated(copy.deepcopy(network).eval(), inputs))
        found, found_spec = tree_flatten(evaluated(folded, inputs))
        assert found_spec == wanted_spec
        for one, other in zip(found, wanted, strict=True):
            if not isinstance(other, Tensor):
                assert one == other
                continue
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            error = (one.double() - other.double()).abs().max() / other.double().abs().max()
            assert error <= TOLERANCE[other.dtype]

    report = folded.report
    places = {entry.place.split(": ")[-1] for entry in report.folded}
    assert places == set(case.folded), str(report)
    reasons = {entry.place.split(": ")[-1]: entry.reason for entry in report.left}
    for place, word in (case.left or {}).items():
        assert word in reasons[place]
    assert not report.undone
    assert report.capture == "torch.export"

    assert network.training
    assert all(torch.equal(kept[name], value) for name, value in network.state_dict().items())


def test_a_folded_conv_keeps_its_memory_format():
    network, example = next(case for case in CASES if case.name == "channels-last").build()
    folded = fold(network, example)
    assert folded.get_parameter("0.weight").is_contiguous(memory_format=torch.channels_last)
    assert folded(example).is_contiguous(memory_format=torch.channels_last)


def test_the_zoo_is_large():
    assert len({case.name for case in CASES}) == len(CASES) >= 60
