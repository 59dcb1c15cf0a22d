"""Activations that are functions, or share a module, get modules of their own."""

import copy
import random
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.edit import insert_dropout, insert_norm, replace_activation
from normwise.edit.own import Ownership
from normwise.errors import Problems, UsageError
from normwise.trace import trace

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A network with two hidden layers; subclasses say how it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.act = nn.ReLU()


class Functional(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.fc1(x), 0.2)
        return self.fc3(torch.tanh(self.fc2(x)))


class Method(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(self.fc2(self.fc1(x).relu_()).sigmoid())


class Shared(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.fc3(self.act(self.fc2(self.act(self.fc1(x))))))


class Keyword(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = F.elu(input=self.fc1(x), alpha=2.0)
        return self.fc3(self.act(input=self.fc2(x)))


class Moded(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(F.relu(self.fc1(x)), 0.5, self.training)
        x = F.relu(self.fc2(x))
        return self.fc3(x if self.training else 2 * x)


class Loop(Net):
    def forward(self, x: Tensor, *, times: int = 3) -> Tensor:
        x = self.fc1(x)
        for _ in range(times):
            x = self.fc2(self.act(x))
        return self.fc3(x)


class Shapes(Net):
    def forward(self, x: Tensor, *rest: Tensor, scale: float | None = None) -> Tensor:
        n, features = x.shape
        x = F.relu(self.fc1(x.view(n, -1, features))).flatten(1)
        return self.fc3(F.relu(self.fc2(x[: x.size(0)])))


class Nested(Net):
    """The activation's owner is a part of the network, called with keywords and a mask."""

    class Part(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: Tensor, mask: Tensor | None = None, slope: float = 0.0) -> Tensor:
            x = F.leaky_relu(self.fc(x), slope)
            return x if mask is None else x * mask

    def __init__(self) -> None:
        super().__init__()
        self.part = self.Part()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.fc1(x))
        return self.fc3(self.part(x, mask=(x > 0).float(), slope=0.1))


class SharedParameters(Net):
    def __init__(self) -> None:
        super().__init__()
        self.act = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(self.act(self.fc2(self.act(self.fc1(x)))))


def sequential() -> nn.Sequential:
    act = nn.ReLU()
    return nn.Sequential(
        *(nn.Linear(4, 8), act, nn.Linear(8, 8), act, nn.Linear(8, 3), act),
    )


GOOD = (Functional, Method, Shared, Keyword, Moded, Loop, Shapes, Nested, SharedParameters)
NETS = [*GOOD, sequential]


def own(net: nn.Module) -> list[nn.Module]:
    found, problems = trace(net, X), Problems()
    plan = Ownership(net, found, found.places, X, problems)
    problems.raise_if_any()
    return plan.commit()


def run(net: nn.Module, training: bool) -> list[Tensor]:
    """Output and gradients."""
    net.train(training)
    net.zero_grad()
    torch.manual_seed(3)
    out = net(X)
    out.square().sum().backward()
    return [out, *(p.grad for p in net.parameters() if p.grad is not None)]


@pytest.mark.parametrize("make", NETS)
def test_the_network_computes_what_it_did(make):
    torch.manual_seed(0)
    net = make()
    twin, kind = copy.deepcopy(net), type(net)
    modules = own(net)
    assert len(set(modules)) == len(modules) == len(trace(twin, X).places)
    assert isinstance(net, kind)
    for training in (True, False):
        for one, other in zip(run(net, training), run(twin, training), strict=True):
            assert torch.equal(one, other)
    found = trace(net, X)
    assert all(a.module is not None and not a.shared for a in found.activations)
    assert [net.get_submodule(str(a.module)) for a in found.places] == modules
    assert [a.layers for a in found.activations] == [a.layers for a in trace(twin, X).activations]


@pytest.mark.parametrize("make", NETS)
def test_an_edited_network_is_copied_whole(make):
    torch.manual_seed(0)
    net = insert_norm(make(), "layer", X, placement="after")
    if make is not Moded:  # it has a dropout already, and that is refused
        insert_dropout(net, 0.3, X)
    twin = copy.deepcopy(net)
    for training in (True, False):
        for one, other in zip(run(net, training), run(twin, training), strict=True):
            assert torch.equal(one, other)
    before = run(net, False)[0]
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    assert torch.equal(before, run(net, False)[0])
    assert not torch.equal(before, run(twin, False)[0])


@pytest.mark.parametrize("make", NETS)
def test_names_of_the_state_stay(make):
    torch.manual_seed(0)
    net = make()
    checkpoint = {name: value.clone() for name, value in net.state_dict().items()}
    insert_norm(net, "rms", X, placement="after")
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name in checkpoint:
                parameter.zero_()
    missing, unexpected = net.load_state_dict(checkpoint, strict=False)
    assert unexpected == []
    assert not set(missing) & set(checkpoint)
    for name, value in checkpoint.items():
        assert torch.equal(net.state_dict()[name], value)


def test_a_sequential_stays_one_and_can_be_iterated():
    net = insert_dropout(sequential(), 0.5, X)
    assert type(net) is nn.Sequential
    assert len(net) == 6
    assert [hasattr(layer, "dropout") for layer in net] == [False, True, False, True, False, False]
    torch.manual_seed(0)
    expected = net(X)
    torch.manual_seed(0)
    y = X
    for layer in net:
        y = layer(y)
    assert torch.equal(y, expected)


def test_shared_parameters_stay_shared():
    net = SharedParameters()
    own(net)
    assert net.prelu_0.weight is net.prelu_1.weight is net.act.weight
    assert sum(p.numel() for p in net.parameters()) == sum(
        p.numel() for p in SharedParameters().parameters()
    )


def test_arguments_of_a_function_are_kept_and_shown():
    net = Functional()
    own(net)
    assert str(net.leaky_relu_0) == "Apply(leaky_relu, 0.2, inplace=False)" or (
        "0.2" in str(net.leaky_relu_0)
    )
    torch.testing.assert_close(net.leaky_relu_0(torch.tensor([-1.0, 1.0])), torch.tensor([-0.2, 1]))


def test_a_name_that_is_taken_is_not_used():
    net = Functional()
    net.tanh_1 = "mine"
    own(net)
    assert net.tanh_1 == "mine"
    assert "tanh_1_1" in dict(net.named_children())


def test_a_module_that_hosts_something_is_split_with_its_guest():
    class Grown(Net):
        def __init__(self):
            super().__init__()
            self.act.extra = nn.Linear(8, 8)
            self.act.register_forward_hook(lambda module, inputs, output: module.extra(output))

        def forward(self, x: Tensor) -> Tensor:
            return self.fc3(self.act(self.fc2(self.act(self.fc1(x)))))

    net = Grown()
    twin = copy.deepcopy(net)
    own(net)
    assert torch.equal(net(X), twin(X))


def test_rewriting_twice():
    torch.manual_seed(0)
    net = Functional()
    with torch.no_grad():
        expected = net(X)
    found, problems = trace(net, X), Problems()
    for place in reversed(found.places):
        Ownership(net, found, [place], X, problems).commit()
        found = trace(net, X)
    assert torch.equal(net(X), expected)
    assert type(net).__bases__ == (Functional,)


def test_the_forward_keeps_its_signature_and_its_defaults():
    net = Loop()
    replace_activation(net, "tanh", X)
    with torch.no_grad():
        y = net.fc1(X)
        for _ in range(3):
            y = net.fc2(torch.tanh(y))
        torch.testing.assert_close(net(X), net.fc3(y))
        torch.testing.assert_close(net(x=X, times=3), net.fc3(y))
    with pytest.raises(TypeError, match=r"was edited for calls with .*'times': 3"):
        net(X, times=2)  # not silently three


# --- what cannot be rewritten -------------------------------------------------------------------


class DataDependent(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x))
        return self.fc3(x) if x.sum() > 0 else self.fc3(-x)


class Remembers(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.features = F.relu(self.fc1(x))
        return self.fc3(self.features)


class CountsCalls(Net):
    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.fc3(F.relu(self.fc1(x)))


class WritesBuffer(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.steps.add_(1)
        return self.fc3(F.relu(self.fc1(x)))


class MakesConstant(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.relu(self.fc1(x)) * torch.tensor(2.0))


class DrawsDepth(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.fc1(x))
        if torch.rand(()) < 0.5:
            x = F.relu(self.fc2(x))
        return self.fc3(x)


class DrawsWithPython(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.relu(self.fc1(x)) * (1 + random.random()))


class ModeDependent(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        x = F.relu(F.tanh(x)) if self.training else F.tanh(x)
        return self.fc3(F.relu(self.fc2(x)))


class ComputedSlope(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.prelu(self.fc1(x), x.mean(0)[:1]))


class CountsElsewhere(Net):
    counts: ClassVar = [0]

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            self.counts[0] += 1
        return self.fc3(F.relu(self.fc1(x)) * self.counts[0])


class Halved(torch.autograd.Function):
    """Passes values on, and half of their gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] / 2


class HalvesGradients(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc3(F.relu(Halved.apply(self.fc1(x))))


class WithoutGradient(Net):
    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        with torch.no_grad():
            gate = torch.sigmoid(x)
        return self.fc3(F.relu(x * gate))


REASONS = {
    HalvesGradients: "its gradient is not that of its operations",
    WithoutGradient: "its gradient is not that of its operations",
    CountsElsewhere: "it depends on more than its inputs",
    DataDependent: "control flow",
    Remembers: "it sets features on itself while it runs",
    CountsCalls: "it sets calls on itself while it runs",
    WritesBuffer: "it writes to its parameters or buffers",
    MakesConstant: "it sets _tensor_constant0 on itself",
    DrawsDepth: "it draws random numbers",
    DrawsWithPython: "it draws random numbers",
    ModeDependent: "its activations differ from one pass to the next",
    ComputedSlope: "an argument of the activation is computed",
}


EDITS = {
    "dropout": lambda net: insert_dropout(net, 0.5, X),
    "norm": lambda net: insert_norm(net, "layer", X, placement="after"),
    "activation": lambda net: replace_activation(net, "elu", X),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("kind", REASONS)
def test_a_forward_that_cannot_be_rewritten_says_why_and_stays(kind, edit):
    torch.manual_seed(0)
    net = kind()
    attributes = {path: dict(vars(module)) for path, module in net.named_modules()}
    state = {name: value.clone() for name, value in net.state_dict().items()}
    draws, python_draws = torch.get_rng_state(), random.getstate()
    with pytest.raises(UsageError) as caught:
        EDITS[edit](net)
    [problem] = caught.value.problems
    assert problem.startswith(f"{kind.__name__}.forward calls ")
    assert REASONS[kind] in problem
    assert "Give each activation an nn.Module of its own" in problem
    assert type(net) is kind
    assert {path: vars(module) for path, module in net.named_modules()} == attributes
    assert all(torch.equal(net.state_dict()[name], value) for name, value in state.items())
    assert torch.equal(torch.get_rng_state(), draws)
    assert kind is DrawsWithPython or random.getstate() == python_draws


def test_every_owner_that_cannot_be_rewritten_is_named():
    net = nn.Sequential(DataDependent(), nn.Linear(3, 4), Functional(), Remembers())
    net[2].fc3 = nn.Linear(8, 4)
    before = [type(module) for module in net.modules()]
    with pytest.raises(UsageError) as caught:
        insert_dropout(net, 0.5, X)
    places = [problem.split(" calls")[0] for problem in caught.value.problems]
    assert places == ["DataDependent.forward (at 0)", "Remembers.forward (at 3)"]
    assert [type(module) for module in net.modules()] == before
