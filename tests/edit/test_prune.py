import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.edit import edits, prune
from normwise.errors import UsageError
from normwise.layers import drop_connect

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))


def mlp(hidden: int = 6) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, hidden), nn.ReLU(), nn.Linear(hidden, 3))


def normed() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 5), nn.BatchNorm1d(5)
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(5, 2))


def state(net: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> list:
    found = [
        [(name, id(t), t.tolist()) for name, t in (*net.named_parameters(), *net.named_buffers())],
        [None if p.grad is None else p.grad.tolist() for p in net.parameters()],
        [(path, id(m), str(m), m.training) for path, m in net.named_modules()],
    ]
    if optimizer is not None:
        found.append(str(optimizer.state_dict()))
    return found


def left(net: nn.Module) -> dict[str, str]:
    told = {edit.path: edit.done for edit in edits(net)}
    return {
        path: done.removeprefix("left alone: ") for path, done in told.items() if "left" in done
    }


# --- which units go -----------------------------------------------------------------------------


def test_the_smallest_sums_of_absolute_weights_go():
    net = mlp()
    before = copy.deepcopy(net)
    kept = before[0].weight.abs().sum(1).argsort(descending=True)[:4].sort().values
    prune(net, X, 0.4)
    assert torch.equal(net[0].weight, before[0].weight[kept])
    assert torch.equal(net[0].bias, before[0].bias[kept])
    assert torch.equal(net[2].weight, before[2].weight[:, kept])
    assert (net[0].out_features, net[2].in_features) == (4, 4)


def test_the_smallest_gammas_of_the_whole_network_go():
    net = normed()
    gammas = torch.tensor([0.9, -0.8, 0.7, 0.6, 0.5, -0.4]), torch.tensor([0.1, 0.2, 0.3, -2, 3])
    net[1].weight.data, net[4].weight.data = gammas
    prune(net, X, 0.37, by="gamma")  # 4 of 11: three of the second norm, and one of the first
    torch.testing.assert_close(net[1].weight.data, gammas[0][:5])
    torch.testing.assert_close(net[4].weight.data, gammas[1][3:])


def test_the_units_without_which_the_loss_rises_least_go():
    net = mlp()
    y = torch.randint(3, (8,))
    before, rises = copy.deepcopy(net), []

    def loss(network: nn.Module) -> Tensor:
        return F.cross_entropy(network(X), y)

    for unit in range(6):
        without = copy.deepcopy(net)
        without[2].weight.data[:, unit] = 0
        rises.append((loss(without) - loss(net)).item())
    kept = torch.tensor(rises).argsort(descending=True)[:3].sort().values
    prune(net, X, 0.5, by="sensitivity", loss=loss)
    assert torch.equal(net[0].bias, before[0].bias[kept])


def test_a_layer_keeps_its_best_unit():
    net = normed()
    net[4].weight.data = torch.tensor([0.01, 0.03, 0.02, 0.01, 0.01])
    prune(net, X, 0.9, by="gamma")
    assert net[4].weight.tolist() == [pytest.approx(0.03)]
    assert len(net[1].weight) == 1


def test_only_the_layers_that_are_meant():
    net = normed()
    prune(net, X, 0.5, where="3")
    assert (net[0].out_features, net[3].out_features) == (6, 3)
    prune(net, X, 0.5, where=lambda path, module: path == "0")
    assert (net[0].out_features, net[3].out_features) == (3, 3)


# --- rounds -------------------------------------------------------------------------------------


def test_rounds_of_equal_size_with_training_between():
    net, sizes = mlp(10), []
    optimizer = torch.optim.Adam(net.parameters())

    def finetune(network: nn.Module) -> None:
        sizes.append(network[0].out_features)
        optimizer.zero_grad()
        network(X).square().mean().backward()
        optimizer.step()

    prune(net, X, 0.6, rounds=3, finetune=finetune, optimizer=optimizer)
    assert sizes == [8, 6, 4]
    assert all(s["exp_avg"].shape == p.shape for p, s in optimizer.state.items())


def test_a_round_that_costs_too_much_is_undone():
    net = mlp(10)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(X).square().mean().backward()
    optimizer.step()
    seen, after_first = [], []

    def loss(network: nn.Module) -> float:
        assert not network.training
        assert not torch.is_grad_enabled()
        return {10: 0.1, 7: 0.2, 4: float("nan")}[network[0].out_features]

    def finetune(network: nn.Module) -> None:
        seen.append(network[0].out_features)
        if len(seen) == 1:
            after_first.append(state(network, optimizer))
            return
        network[0].weight.data.zero_()
        optimizer.step()

    prune(net, X, 0.6, rounds=2, finetune=finetune, loss=loss, max_loss=0.2, optimizer=optimizer)
    assert seen == [7, 4]
    assert state(net, optimizer) == after_first[0]
    assert str(edits(net)[0]) == "prune 0.6  0  10 units -> 7, by magnitude"
    assert str(edits(net)[-1]) == "prune 0.6  (the network)  round 2 is undone: loss nan > 0.2"


def test_units_that_go_together_are_all_counted():
    net = nn.Sequential(nn.Linear(4, 8), nn.GroupNorm(4, 8), nn.ReLU(), nn.Linear(8, 3))
    prune(net, X, 0.5)
    assert net[0].out_features == 4
    assert str(edits(net)[0]) == "prune 0.5  0  8 units -> 4, by magnitude"


def test_if_training_fails_all_is_as_it_was():
    net = normed()
    optimizer = torch.optim.AdamW(net.parameters())
    net(X).sum().backward()
    optimizer.step()
    before = state(net, optimizer)

    def finetune(network: nn.Module) -> None:
        network(X).sum().backward()
        optimizer.step()
        if network[0].out_features == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(net, X, 0.5, rounds=2, finetune=finetune, optimizer=optimizer)
    assert state(net, optimizer) == before
    assert not edits(net)


# --- what follows, what stays -------------------------------------------------------------------


def test_a_step_of_training_goes_on_as_if_the_units_had_never_been():
    """Units that nothing reads, and that read nothing that changes, do not disturb the others."""
    for make in (
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        lambda p: torch.optim.Adam(p, amsgrad=True),
        torch.optim.Adagrad,
        torch.optim.Rprop,
    ):
        net, dead = mlp().double(), torch.tensor([1, 4])
        x = X.double()
        net[2].weight.data[:, dead] = 0
        net[0].weight.data[dead] *= 1e-3
        net[2].weight.register_hook(
            lambda g, dead=dead: g.index_fill(1, dead, 0) if g.shape[1] > 4 else g
        )
        optimizer = make(net.parameters())

        def step(net=net, optimizer=optimizer, x=x):
            optimizer.zero_grad()
            net(x).square().sum().backward()
            optimizer.step()

        step()
        whole, its_optimizer = copy.deepcopy((net, optimizer))
        prune(net, x, 0.35, optimizer=optimizer)
        step()
        step(whole, its_optimizer)
        kept = torch.tensor([0, 2, 3, 5])
        torch.testing.assert_close(net[0].weight, whole[0].weight[kept])
        torch.testing.assert_close(net[2].weight, whole[2].weight[:, kept])


def test_what_the_user_holds_stays_theirs():
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 1))
    net = net.to(memory_format=torch.channels_last).train()
    net[1].eval()
    net[0].weight.requires_grad_(False)
    calls = []
    net[0].register_forward_hook(lambda *_: calls.append(1))
    held = dict(net.named_parameters()), dict(net.named_modules()), list(net.state_dict())
    rng = torch.get_rng_state()
    assert prune(net, torch.randn(2, 3, 5, 5, generator=torch.Generator()), 0.5) is net
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(net.get_parameter(name) is p for name, p in held[0].items())
    assert all(net.get_submodule(path) is m for path, m in held[1].items())
    assert list(net.state_dict()) == held[2]
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not net[0].weight.requires_grad
    assert [module.training for module in net] == [True, False, True, True]
    calls.clear()
    net(torch.randn(2, 3, 5, 5)).sum().backward()
    assert calls == [1]


def test_gradients_follow():
    net = mlp()
    net(X).sum().backward()
    before = copy.deepcopy(net)
    grads = [p.grad.clone() for p in net.parameters()]
    prune(net, X, 0.5)
    kept = torch.isin(before[0].bias, net[0].bias)
    assert torch.equal(net[0].weight.grad, grads[0][kept])
    assert torch.equal(net[2].weight.grad, grads[2][:, kept])


def test_a_loss_that_is_still_alive_does_not_hold_a_parameter_to_its_former_shape():
    net, hooked = mlp(), []
    net[0].weight.register_post_accumulate_grad_hook(lambda p: hooked.append(p.grad.shape))
    loss = net(X).sum()
    loss.backward()
    alive = [loss, net(X).sum()]

    def finetune(network: nn.Module) -> None:
        network.zero_grad()
        alive.append(network(X).sum())
        alive[-1].backward()

    prune(net, X, 0.5, finetune=finetune)
    prune(net, X, 0.5, finetune=finetune, loss=lambda net: 1.0, max_loss=0.0)
    net(X).sum().backward()
    assert hooked == [(6, 4), (3, 4), (2, 4), (3, 4)]


def test_state_of_another_shape_is_cleared_and_said():
    net = mlp()
    optimizer = torch.optim.Adafactor(net.parameters())
    net(X).sum().backward()
    optimizer.step()
    prune(net, X, 0.5, optimizer=optimizer)
    cleared = [edit.path for edit in edits(net) if "cleared" in edit.done]
    assert cleared == ["0.weight", "2.weight"]
    net.zero_grad()
    net(X).sum().backward()
    optimizer.step()


# --- networks of all kinds ----------------------------------------------------------------------


class Forward(nn.Module):
    def __init__(self, forward, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.run = forward

    def forward(self, *args):
        return self.run(self, *args)


def test_what_cannot_change_is_left_alone_with_the_reason():
    net = Forward(
        lambda s, x: s.out(
            s.norm(s.normed(x)) + s.attention(*3 * (s.before(x)[:, None],))[0][:, 0]
            + s.written(torch.relu(s.f(x)).view(-1, 4))
            + s.cut(torch.tanh(s.g(x)).chunk(2, 1)[0]) + s.h(torch.relu(s.fine(x)))
        ),
        normed=nn.Linear(4, 4), norm=nn.LayerNorm(4), before=nn.Linear(4, 4),
        attention=nn.MultiheadAttention(4, 2, batch_first=True), f=nn.Linear(4, 4),
        written=nn.Linear(4, 4), g=nn.Linear(4, 6), cut=nn.Linear(3, 4), fine=nn.Linear(4, 6),
        h=nn.Linear(6, 4), out=nn.Linear(4, 2), never=nn.Linear(2, 2),
    )  # fmt: skip
    prune(net, X, 0.5)
    assert net.fine.out_features == 3
    reasons = left(net)
    assert set(reasons) == {
        *("normed", "attention", "attention.out_proj", "f", "written", "g", "cut", "h"),
        *("out", "never", "before"),
    }
    assert reasons["out"] == "an output of the network"
    assert reasons["normed"] == reasons["h"] == "normalised together by layer_norm"
    assert reasons["attention"] == "split over several axes by view"
    assert reasons["f"].startswith("the forward fails with another number of units (")
    assert "was expecting embedding dimension of 4, but got" in reasons["before"]
    assert reasons["g"] == "mixed or cut by split"
    assert reasons["never"] == "not used, or nothing reads its units"


def test_an_auxiliary_head_of_training_is_part_of_it():
    net = Forward(
        lambda s, x: (s.head(h := torch.relu(s.body(x))), s.aux(h)) if s.training else s.head(
            torch.relu(s.body(x))
        ),
        body=nn.Linear(4, 6), head=nn.Linear(6, 2), aux=nn.Linear(6, 2),
    )  # fmt: skip
    prune(net.eval(), X, 0.5)
    assert net.aux.in_features == net.head.in_features == 3
    assert len(net.train()(X)) == 2


def test_tied_weights_stay_tied():
    net = Forward(
        lambda s, x: s.c(F.linear(torch.relu(s.b(torch.relu(s.a(x)))), s.a.weight.t())),
        a=nn.Linear(4, 4), b=nn.Linear(4, 4), c=nn.Linear(4, 2),
    )  # fmt: skip
    net.b.weight = net.a.weight
    before = state(net)
    with pytest.raises(UsageError, match="there are no units whose number can change"):
        prune(net, X, 0.5)
    assert state(net) == before
    shared = nn.Linear(6, 6)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), shared, nn.ReLU(), shared, nn.Linear(6, 2))
    net = prune(net, X, 0.5)
    assert net[2] is net[4]
    assert net[2].weight.shape == (3, 3)


def test_a_recurrent_cell_written_by_hand():
    net = Forward(
        lambda s, x: s.out(torch.tanh(s.i(x) + s.h(torch.tanh(s.i(x))))),
        i=nn.Linear(4, 6), h=nn.Linear(6, 6), out=nn.Linear(6, 2),
    )  # fmt: skip
    prune(net, X, 0.5)
    assert net.h.weight.shape == (3, 3)


def test_weights_that_are_dropped_and_arguments_by_name():
    net = Forward(
        lambda s, x, y: {"z": s.b(torch.relu(s.a(x) + y))},
        a=drop_connect(nn.Linear(4, 6)), b=nn.Linear(6, 2),
    )  # fmt: skip
    net.c = nn.Parameter(torch.randn(6))
    net.run = lambda s, x, y: {"z": s.b(torch.relu(s.a(x) + s.c) + y.sum() * 0)}
    prune(net, (X, X), 0.5)
    assert net.a.out_features == 3
    assert net.c.shape == (3,)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"amount": 0.0}, "amount=0.0: the share of units to remove lies between 0 and 1"),
        ({"amount": 1.0}, "amount=1.0: the share"),
        ({"by": "magnitud"}, r"unknown by='magnitud' \(did you mean 'magnitude'\?\)"),
        ({"by": "sensitivity"}, "by='sensitivity' needs loss"),
        ({"max_loss": 0.1}, "max_loss needs loss"),
        ({"rounds": 0}, "rounds=0: removing units takes at least one round"),
        ({"amount": 0.1}, r"amount=0.1 is not one whole unit \(6 of 0\): give more"),
        ({"by": "gamma"}, "no units whose number can change. .*0: no norm with a γ behind it"),
        ({"where": "9"}, "where='9' matches no layer with units: there are 0, 2"),
        ({"where": "2"}, "no units whose number can change. 2: an output of the network"),
        ({"example": torch.randn(8, 5)}, "does not run on the example in training and evaluation"),
        ({"example": "x"}, "example is a str"),
        ({"loss": lambda net: "1", "max_loss": 1.0}, "loss returned a str: it has to return one"),
        ({"optimizer": "adam"}, "optimizer=str"),
    ],
)  # fmt: skip
def test_refusals_change_nothing(arguments, problem):
    net = mlp()
    before = state(net)
    with pytest.raises(UsageError, match=problem):
        prune(net, **{"example": X, "amount": 0.5} | arguments)
    assert state(net) == before
    assert not edits(net)


def test_all_mistakes_at_once():
    with pytest.raises(UsageError) as caught:
        prune(mlp(), X, 2.0, by="size", rounds=0, max_loss=1.0)
    assert len(caught.value.problems) == 4


def test_outputs_that_cannot_be_seen():
    net = Forward(lambda s, x: torch.distributions.Normal(s.a(x), 1.0), a=nn.Linear(4, 2))
    with pytest.raises(UsageError, match="gives a Normal, in which its outputs cannot be found"):
        prune(net, X, 0.5)


def test_lazy_layers_have_to_be_run_first():
    net = nn.Sequential(nn.LazyLinear(6), nn.ReLU(), nn.Linear(6, 2))
    with pytest.raises(UsageError, match=r"0.weight, 0.bias have no shape yet: run the network"):
        prune(net, X, 0.5)
    net(X)
    assert prune(net, X, 0.5)[0].out_features == 3
