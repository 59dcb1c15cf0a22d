"""What cannot be one program is refused, with the reason, and nothing is changed by trying."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.checkpoint import checkpoint

from normwise.data import Split
from normwise.stack import NotStackable, Objective, Recipe, Stacked


class Call(nn.Module):
    """A layer, and a forward that is a function of the module and the input."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **attributes: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)
        self._call = forward
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self._call(self, x)


class Opaque(torch.autograd.Function):
    """Twice its input, without a rule for torch.vmap."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 2 * grads[0]


class NoRule(torch.autograd.Function):
    """Twice its input, fit for torch.func but for vmap."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return 2 * grads[0]


def counting(self: Any, x: Tensor) -> Tensor:
    self.calls += 1
    return self.layer(x) * (1 + 1e-9 * self.calls)


def counting_privately(self: Any, x: Tensor) -> Tensor:
    self._calls += 1
    return self.layer(x)


def remembering(self: Any, x: Tensor) -> Tensor:
    self.seen = x.mean()
    return self.layer(x)


def by_the_data(self: Any, x: Tensor) -> Tensor:
    return self.layer(x) if x.sum() > 0 else -self.layer(x)


def shape_by_luck() -> nn.Module:
    return nn.Sequential(nn.Linear(6, int(torch.randint(4, 40, ()))), nn.LazyLinear(3))


def layer_by_luck() -> nn.Module:
    kinds = (nn.ReLU, nn.Tanh, nn.GELU, nn.ELU)
    return nn.Sequential(nn.Linear(6, 3), kinds[int(torch.randint(4, ()))]())


def without_gradient() -> nn.Module:
    return nn.Linear(6, 3).requires_grad_(False)


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "data": (lambda: Call(by_the_data), "decides by the data$"),
    "item": (lambda: Call(lambda s, x: s.layer(x) * x.max().item()), "takes a number out"),
    "random": (lambda: Call(lambda s, x: s.layer(x + torch.rand(6))), "random numbers of its own"),
    "noise": (lambda: Call(lambda s, x: s.layer(x + torch.randn_like(x))), "random numbers"),
    "evaluation noise": (
        lambda: Call(lambda s, x: s.layer(x if s.training else x + torch.rand(6))),
        "draws random numbers in evaluation",
    ),
    "python": (lambda: Call(lambda s, x: s.layer(x) * random.random()), "random numbers"),
    "numpy": (lambda: Call(lambda s, x: s.layer(x) * float(np.random.rand())), "random numbers"),
    "generator": (
        lambda: Call(lambda s, x: s.layer(x * s.generator.random()), generator=OwnGenerator()),
        "differs from the network's own",
    ),
    "alpha dropout": (lambda: nn.Sequential(nn.Linear(6, 3), nn.AlphaDropout()), "random numbers"),
    "count": (lambda: Call(counting, calls=0), "changes attributes"),
    "private count": (lambda: Call(counting_privately, _calls=0), "changes attributes"),
    "memory": (lambda: Call(remembering), "changes attributes"),
    "constants": (
        lambda: Call(lambda s, x: s.layer(x) * s.scale, scale=float(torch.rand(()))),
        r"differ from run to run \(in scale\)",
    ),
    "constant tensors": (
        lambda: Call(lambda s, x: s.layer(x) * s.scale, scale=torch.rand(3)),
        r"differ from run to run \(in scale\)",
    ),
    "shape": (shape_by_luck, r"differ from run to run \(in 0\."),
    "layer": (layer_by_luck, r"differ from run to run \(in the class of 1\)"),
    "dropout in evaluation": (
        lambda: Call(lambda s, x: F.dropout(s.layer(x), 0.2)),
        "draws random numbers in evaluation",
    ),
    "function": (lambda: Call(lambda s, x: Opaque.apply(s.layer(x))), "autograd.Function that"),
    "half a function": (
        lambda: Call(lambda s, x: NoRule.apply(s.layer(x))),
        "autograd.Function that has no rule for torch.vmap$",
    ),
    "cumulative average": (
        lambda: nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3, momentum=None)),
        "takes a number out of a tensor",
    ),
    "checkpoint": (
        lambda: Call(lambda s, x: checkpoint(s.layer, x, use_reentrant=False)),
        "loses them, as checkpointing does$",
    ),
    "spectral norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 3))),
        "uses an operation that torch.vmap has no rule for$",
    ),
    "no gradient": (without_gradient, "no weights to train"),
    "error": (lambda: Call(lambda s, x: s.layer(x[:, :5])), "cannot be multiplied"),
}


class OwnGenerator:
    """Draws from a stream that nobody else sees."""

    def __init__(self) -> None:
        self._stream = np.random.default_rng(0)

    def random(self) -> float:
        return float(self._stream.random())

    def __repr__(self) -> str:
        return "OwnGenerator()"


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(name: str, tools: Any):
    factory, reason = REFUSED[name]
    data = tools.make_data()
    torch.manual_seed(0)  # what is drawn by luck must not come out the same three times
    networks = [factory() for _ in range(3)]
    for network in networks:
        network.double()
        if name == "shape":
            network(data.train.x)
    before = [tools.state_of(network) for network in networks]
    random_before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()
    example = Split(data.train.x[:16], data.train.y[:16])
    with pytest.raises(NotStackable, match=reason) as caught:
        Stacked(networks, [Recipe()] * 3, Objective("classes"), range(3), example)
    assert "\n" not in str(caught.value)
    for network, state in zip(networks, before, strict=True):
        assert all(torch.equal(now, state[n]) for n, now in tools.state_of(network).items())
        assert all(p.grad is None for p in network.parameters())
        assert getattr(network, "calls", 0) == getattr(network, "_calls", 0) == 0
        assert not hasattr(network, "seen")
    random_now = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tobytes()
    assert torch.equal(random_now[0], random_before[0])
    assert random_now[1:] == random_before[1:]


def test_a_batch_that_the_network_cannot_take_is_left_to_the_loop(tools: Any):
    data = tools.make_data((5,))
    example = Split(data.train.x[:16], data.train.y[:16])
    with pytest.raises(NotStackable, match="cannot be multiplied"):
        Stacked([nn.Linear(6, 3).double()], [Recipe()], Objective("classes"), [0], example)


def hidden(self: Any, x: Tensor) -> Tensor:
    """An intermediate result that nobody sees being computed."""
    with _disable_current_modes():
        doubled = 2 * x
    return self.layer(doubled)


def test_program_with_a_value_of_its_batch_is_refused() -> None:
    example = Split(torch.randn(8, 6), torch.randn(8, 3))
    networks = [Call(hidden) for _ in range(2)]
    with pytest.raises(NotStackable, match="differs from the network's own"):
        Stacked(networks, [Recipe()] * 2, Objective("regression"), [0, 1], example)


def test_what_vmap_does_run_by_run_is_done_without_a_warning(recwarn: pytest.WarningsRecorder):
    def network() -> nn.Module:
        return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)))

    example = Split(torch.randn(8, 6), torch.randn(8, 3))
    Stacked([network() for _ in range(2)], [Recipe()] * 2, Objective("regression"), [0, 1], example)
    assert not recwarn.list
