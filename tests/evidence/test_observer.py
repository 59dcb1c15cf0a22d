"""Networks are watched in every way that they are trained, and left as they were."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from normwise.evidence import Evidence, Level, Observer, Schedule
from normwise.evidence.private import function_modes

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
Y = torch.randint(0, 4, (32,), generator=torch.Generator().manual_seed(2))


def rows(*middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(8, 16), *(middle or (nn.ReLU(),)), nn.Linear(16, 4))


def step(net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    F.cross_entropy(net(X), Y).backward()
    optimizer.step()


def watched(
    networks: nn.Module | dict[str, nn.Module], train: Callable[[], None], every: int = 1
) -> Evidence:
    named = networks if isinstance(networks, dict) else {"": networks}
    observer = Observer(named, (), Schedule(every=every))
    observer.attach()
    try:
        train()
    finally:
        observer.detach()
    evidence = observer.evidence()
    assert not function_modes()
    return evidence


# --- no trace ----------------------------------------------------------------------------------


def traces(net: nn.Module) -> list[object]:
    hooks = [
        dict(getattr(module, name))
        for module in net.modules()
        for name in vars(module)
        if name.endswith("hooks")
    ]
    on_tensors = [(p._backward_hooks, p._post_accumulate_grad_hooks) for p in net.parameters()]
    on_all = dict(
        torch.optim.Optimizer.profile_hook_step.__globals__["_global_optimizer_pre_hooks"]
    )
    return [*filter(None, hooks), *[t for t in on_tensors if any(t)], *filter(None, [on_all])]


def trained(watch: bool, every: int = 1) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(0)
    net = rows(nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Dropout(0.5))
    optimizer = Adam(net.parameters())

    def train() -> None:
        for _ in range(6):
            step(net, optimizer)

    if watch:
        watched(net, train, every)
        assert traces(net) == []
    else:
        train()
    return [t.clone() for t in net.state_dict().values()], torch.get_rng_state()


@pytest.mark.parametrize("every", [1, 2])
def test_training_is_the_same_bit_for_bit(every: int):
    plain, watched = trained(watch=False), trained(watch=True, every=every)
    assert all(map(torch.equal, plain[0], watched[0]))
    assert torch.equal(plain[1], watched[1])


def test_nothing_stays_behind_after_an_exception():
    net = rows()
    optimizer = SGD(net.parameters(), 0.1)

    def train() -> None:
        step(net, optimizer)
        net(torch.randn(2, 9))

    with pytest.raises(RuntimeError):
        watched(net, train)
    assert traces(net) == []
    assert function_modes() == []
    copy.deepcopy(net)


def test_copies_and_saved_networks_are_not_watched(tmp_path):
    net = rows(nn.BatchNorm1d(16), nn.ReLU())
    optimizer = SGD(net.parameters(), 0.1)
    copies = []

    def train() -> None:
        for _ in range(3):
            step(net, optimizer)
            torch.save(net, tmp_path / "net.pt")
            copies.append(copy.deepcopy(net).eval())
            copies[0](X)
        step(net, optimizer)

    evidence = watched(net, train)
    assert evidence.notes == ()
    assert {passes.training for passes in evidence.passes} == {True}
    assert b"normwise" not in (tmp_path / "net.pt").read_bytes()
    loaded = torch.load(tmp_path / "net.pt", weights_only=False).eval()
    assert torch.equal(loaded(X), copies[2](X))


def test_a_mode_of_the_users_is_left_in_its_order():
    class Own(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    net = rows()
    optimizer = SGD(net.parameters(), 0.1)

    def train() -> None:
        for _ in range(3):
            with Own(), torch.device("cpu"):
                output = net(X)
            F.cross_entropy(output, Y).backward()
            optimizer.step()
            optimizer.zero_grad()

    evidence = watched(net, train)
    assert evidence.losses[0].calls == 3
    assert torch.get_default_device() == torch.device("cpu")


def test_a_fault_of_ours_ends_the_measuring_and_not_the_training(monkeypatch):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("normwise.evidence.parameters.ParametersMeter.after", broken)
    net = rows()
    optimizer = SGD(net.parameters(), 0.1)
    before = net[0].weight.clone()
    evidence = watched(net, lambda: [step(net, optimizer) for _ in range(3)] and None)
    assert not torch.equal(before, net[0].weight)
    assert "ZeroDivisionError: ours" in evidence.notes[0]


# --- sleep -------------------------------------------------------------------------------------


class Tired(Schedule):
    """Measures two steps, then watches every eighth step or so."""

    naps = 0
    tired = False

    def due(self, step: int) -> bool:
        return step < 2

    def stepped(self, *, measured: bool, own: float = 0.0) -> None:
        self.tired = not measured

    @property
    def overdrawn(self) -> bool:
        return self.tired

    def slept(self, own: float) -> bool:
        self.naps += 1
        return self.naps % 7 == 0


def test_sleep_leaves_one_hook_that_evaluation_wakes():
    net = rows(nn.BatchNorm1d(16), nn.ReLU())
    optimizer = SGD(net.parameters(), 0.1)
    observer = Observer({"": net}, [optimizer], Tired())
    observer.attach()
    for _ in range(3):  # of which the last is not measured
        step(net, optimizer)
    *on_modules, on_all = traces(net)
    assert [len(hooks) for hooks in on_modules] == [1]
    assert len(on_all) == 1
    for _ in range(4):
        step(net, optimizer)
        net.eval()
        with torch.no_grad():
            net(X)
        net.train()
    for _ in range(13):
        step(net, optimizer)
    observer.detach()
    assert traces(net) == []
    evidence = observer.evidence()
    assert (evidence.steps, evidence.measured, evidence.optimizers[0].steps) == (20, 2, 20)
    counted = {passes.training: passes.count for passes in evidence.passes}
    assert counted[False] == 4  # all of them
    assert counted[True] == 3 + 4 + 1  # after each evaluation, and after seven naps
    assert evidence.optimizers[0].stale == 0
    assert len(evidence.batches[0].ids) == 3  # those before the first nap


def test_training_with_naps_is_the_same_bit_for_bit():
    def trained(schedule: Schedule | None) -> list[Tensor]:
        net = rows(nn.BatchNorm1d(16), nn.Dropout(0.5))
        optimizer = Adam(net.parameters())
        observer = Observer({"": net}, (), schedule)
        if schedule is not None:
            observer.attach()
        for _ in range(12):
            step(net, optimizer)
        observer.detach()
        return [t.clone() for t in net.state_dict().values()]

    assert all(map(torch.equal, trained(None), trained(Tired())))


def test_watching_goes_on_where_it_was_left():
    net = rows()
    optimizer = SGD(net.parameters(), 0.1)
    observer = Observer({"": net}, [optimizer], Tired())
    for _ in range(3):
        observer.attach()
        for _ in range(4):
            step(net, optimizer)
        observer.detach()
        assert traces(net) == []
    evidence = observer.evidence()
    assert evidence.steps == evidence.optimizers[0].steps == 12
    assert evidence.passes[0].count == 3 + 1 + 1


# --- what is measured --------------------------------------------------------------------------


def test_numbers_are_those_of_the_pass():
    net = rows(nn.BatchNorm1d(16), nn.ReLU(inplace=True))
    optimizer = SGD(net.parameters(), 0.1)
    hidden = net[0](X).detach().double()
    normed = F.batch_norm(hidden, None, None, training=True)
    logits = net(X)
    loss = F.cross_entropy(logits, Y)
    gradient = torch.autograd.grad(loss, [logits, net[0].weight])
    net[1].reset_running_stats()
    before = net[0].weight.detach().clone()
    evidence = watched(net, lambda: step(net, optimizer))

    def close(found: object, wanted: Tensor) -> None:
        torch.testing.assert_close(
            torch.as_tensor(found).double(), wanted.double(), rtol=1e-5, atol=1e-6
        )

    close(evidence.modules["0"].output.mean, hidden.mean(0))  # though ReLU comes in place
    close(evidence.modules["1"].input.var, hidden.var(0, correction=0))
    close(evidence.activations["2"].output.mean, normed.relu().mean(0))
    close(evidence.activations["2"].output.top, normed.relu().amax(0))
    close(evidence.losses[0].value.first, loss.detach())
    close(evidence.objective.first, loss.detach())
    close(evidence.modules["3"].gradient.first, gradient[0].norm())
    weight = evidence.parameters["0.weight"]
    close(weight.gradient.first, gradient[1].norm())
    close(weight.weight.first, before.norm())
    close(weight.update.first, 0.1 * gradient[1].norm())
    close(weight.ratio.first, 0.1 * gradient[1].norm() / before.norm())
    assert evidence.level is Level.TRAINING
    assert (evidence.steps, evidence.measured) == (1, 1)


def test_functional_activations_are_measured_where_they_are_called():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(8, 6), nn.Linear(6, 5), nn.Linear(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(F.relu_(self.b(torch.relu(self.a(x)))))

    net = Net()
    evidence = watched(net, lambda: step(net, SGD(net.parameters(), 0.1)))
    assert list(evidence.activations) == [":relu", ":relu.2"]
    assert [len(a.output.mean) for a in evidence.activations.values()] == [6, 5]


def test_units_of_images_are_channels_and_of_sequences_features():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act, self.line = nn.Conv1d(3, 6, 3), nn.ReLU(), nn.Linear(5, 7)
            self.norm, self.lstm = nn.LayerNorm(7), nn.LSTM(7, 9, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.act(self.line(self.act(self.conv(x))))
            return self.lstm(self.norm(x))[0].mean((1, 2))

    net = Net()
    evidence = watched(net, lambda: net(torch.randn(4, 3, 7)).sum().backward())
    widths = {path: len(m.output.mean) for path, m in evidence.modules.items() if m.output}
    assert widths == {"conv": 6, "act": 6, "line": 7, "norm": 7, "lstm": 9}


def test_shared_modules_count_every_call():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.norm, self.head = nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            for _ in range(3):
                x = self.norm(self.shared(x))
            return self.head(x)

    net = Net()
    optimizer = SGD(net.parameters(), 0.1)
    evidence = watched(net, lambda: [step(net, optimizer) for _ in range(2)] and None)
    assert (evidence.modules["norm"].calls, evidence.modules["norm"].most_calls) == (6, 3)
    assert evidence.modules["head"].most_calls == 1
    assert evidence.modules["shared"].output.count == 6 * 32


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_parts_are_measured_once(reentrant: bool):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU())
            self.head = nn.Linear(16, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = x.clone().requires_grad_()
            return self.head(checkpoint(self.body, x, use_reentrant=reentrant))

    net = Net()
    optimizer = SGD(net.parameters(), 0.1)
    evidence = watched(net, lambda: [step(net, optimizer) for _ in range(3)] and None)
    norm = evidence.modules["body.1"]
    assert (norm.calls, norm.recomputed, norm.output.count) == (3, 3, 3 * 32)
    assert evidence.modules["head"].recomputed == 0
    [passes] = evidence.passes
    assert (passes.training, passes.gradients, passes.count) == (True, True, 3)


def test_a_network_that_is_checkpointed_as_a_whole_is_not_scoring():
    net = rows()
    optimizer = SGD(net.parameters(), 0.1)

    def train() -> None:
        for _ in range(4):
            optimizer.zero_grad()
            x = X.clone().requires_grad_()
            F.cross_entropy(checkpoint(net, x, use_reentrant=True), Y).backward()
            optimizer.step()

    evidence = watched(net, train)
    [passes] = evidence.passes
    assert (passes.training, passes.gradients, passes.recomputed) == (True, False, 4)
    assert evidence.modules["0"].output.batches == 3  # the first could not be told


def test_entries_are_the_modules_that_the_program_calls():
    net = nn.ModuleDict({"encode": nn.Linear(8, 6), "decode": nn.Linear(6, 8)})
    optimizer = SGD(net.parameters(), 0.1)

    def train() -> None:
        for _ in range(3):
            optimizer.zero_grad()
            F.mse_loss(net["decode"](net["encode"](X)), X).backward()
            optimizer.step()

    evidence = watched(net, train, every=2)
    assert [(p.entry, p.count) for p in evidence.passes] == [("encode", 3), ("decode", 3)]
    assert evidence.measured == 2


def test_accumulated_gradients_are_measured_once_per_step():
    net = rows()
    optimizer = SGD(net.parameters(), 0.1)

    def train() -> None:
        for _ in range(3):
            for part in range(4):
                F.cross_entropy(net(X[part::4]), Y[part::4]).backward()
            optimizer.step()
            optimizer.zero_grad()

    evidence = watched(net, train)
    [found] = evidence.optimizers
    assert (found.steps, found.accumulated, found.stale) == (3, 4, 0)
    assert evidence.parameters["0.weight"].gradient.count == 3
    assert evidence.losses[0].calls == 12


def test_alternating_optimizers_share_a_window():
    nets: dict[str, nn.Module] = {"g": nn.Linear(8, 8), "d": nn.Linear(8, 1)}
    g, d = (SGD(net.parameters(), 0.01) for net in nets.values())

    def train() -> None:
        for _ in range(6):
            d.zero_grad()
            (nets["d"](nets["g"](X).detach()).mean() - nets["d"](X).mean()).backward()
            d.step()
            g.zero_grad()
            (-nets["d"](nets["g"](X)).mean()).backward()
            g.step()

    evidence = watched(nets, train, every=3)
    assert all(evidence.parameters[name].gradient.count >= 2 for name in ("g.weight", "d.weight"))
    assert all(evidence.parameters[name].update.count for name in ("g.weight", "d.weight"))
    assert [o.stale for o in evidence.optimizers] == [0, 0]
    assert [o.parameters for o in evidence.optimizers] == [
        (("d.weight", "d.bias"),),
        (("g.weight", "g.bias"),),
    ]


def test_evaluation_shows_what_norms_take_then_and_its_loss():
    net = rows(nn.Dropout(0.5), nn.BatchNorm1d(16), nn.ReLU())
    optimizer = SGD(net.parameters(), 0.1)

    def train() -> None:
        step(net.train(), optimizer)
        with torch.no_grad():
            F.cross_entropy(net.eval()(X), Y)

    evidence = watched(net, train)
    hidden = evidence.modules["2"]
    assert list(evidence.activations) == ["3"]
    assert evidence.activations["3"].output.batches == 1
    assert hidden.input.var.mean() > 1.5 * hidden.eval_input.var.mean()
    assert [(loss.training, loss.calls) for loss in evidence.losses] == [(True, 1), (False, 1)]
    assert [(p.training, p.gradients, p.count) for p in evidence.passes] == [
        (True, True, 1),
        (False, False, 1),
    ]


def test_evaluation_with_gradients_is_told_from_training_in_evaluation_mode():
    net = rows().eval()
    optimizer = SGD(net.parameters(), 0.1)

    def train() -> None:
        step(net, optimizer)
        for _ in range(2):
            net(X)

    [passes] = watched(net, train).passes
    assert (passes.training, passes.gradients, passes.count, passes.backward) == (False, True, 3, 1)


@pytest.mark.parametrize("early", [True, False])
def test_clipping_before_or_after_unscaling_is_seen(early: bool):
    net = rows()
    optimizer = SGD(net.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)

    def train() -> None:
        for _ in range(3):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(net(X), Y)
            scaler.scale(loss).backward()
            if not early:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(net.parameters(), 0.01)
            scaler.step(optimizer)
            scaler.update()

    evidence = watched(net, train)
    order = ("clip", "unscale") if early else ("unscale", "clip")
    assert evidence.optimizers[0].edits == {order: 2}  # it is known from its first step on
    assert evidence.parameters["0.weight"].gradient.high <= 0.01 * (1 + 1e-3)
    assert len(evidence.modules["0"].output.mean) == 16


def test_wrapped_networks_keep_their_names():
    net = rows()
    wrapped = nn.DataParallel(net)
    evidence = watched(wrapped, lambda: step(wrapped, SGD(net.parameters(), 0.1)))
    assert next(iter(evidence.parameters)) == "0.weight"
    assert evidence.modules["0"].output.count == 32


def test_compiled_networks_are_seen_from_outside_and_say_so():
    net = rows()
    compiled = torch.compile(net, backend="eager")
    optimizer = SGD(net.parameters(), 0.1)
    evidence = watched(compiled, lambda: [step(compiled, optimizer) for _ in range(4)] and None, 2)
    assert "compiled" in evidence.notes[0]
    assert evidence.passes[0].count == 4
    assert evidence.losses[0].calls == 2
    assert evidence.parameters["0.weight"].gradient.count == 2
    assert torch._dynamo.utils.counters["frames"]["total"] == 1
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def test_weights_updated_by_hand():
    net = rows()

    def train() -> None:
        for _ in range(4):
            F.cross_entropy(net(X), Y).backward()
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= 0.1 * parameter.grad
                    parameter.grad = None

    evidence = watched(net, train)
    assert evidence.level is Level.BACKWARD
    assert evidence.measured == 3  # the last has no pass behind it that would end it


def test_steps_by_hand_count_where_they_are_not_measured():
    net = rows()

    def train() -> None:
        for _ in range(10):
            for parameter in net.parameters():
                parameter.grad = None
            F.cross_entropy(net(X), Y).backward()
            for parameter in net.parameters():
                assert parameter.grad is not None
                parameter.data -= 0.1 * parameter.grad

    evidence = watched(net, train, every=3)
    assert (evidence.steps, evidence.measured) == (9, 3)


def test_nested_tensors_are_let_through():
    class Padded(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = rows()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(torch.nested.to_padded_tensor(x, 0.0).mean(1))

    net = Padded()
    optimizer = SGD(net.parameters(), 0.1)
    x = torch.nested.nested_tensor([X[:5], X[:9]])

    def train() -> None:
        F.cross_entropy(net(x), Y[:2]).backward()
        optimizer.step()

    evidence = watched(net, train)
    assert evidence.notes == ()
    assert evidence.modules["net.0"].output is not None


def test_memory_is_constant():
    net = rows()
    optimizer = SGD(net.parameters(), 0.01)
    observer = Observer({"": net}, [optimizer], Schedule(every=1))

    def size() -> int:
        seen: set[int] = set()

        def count(thing: object) -> int:
            if id(thing) in seen or isinstance(thing, nn.Module | torch.optim.Optimizer | type):
                return 0
            seen.add(id(thing))
            if isinstance(thing, Tensor):
                return thing.numel()
            held = vars(thing).values() if hasattr(thing, "__dict__") else ()
            if isinstance(thing, dict):
                held = thing.values()
            elif isinstance(thing, list | tuple | set) or type(thing).__name__ == "deque":
                held = thing
            return 1 + sum(map(count, held))

        return count(vars(observer))

    observer.attach()
    for _ in range(320):
        step(net, optimizer)
    early = size()
    for _ in range(640):
        step(net, optimizer)
    observer.detach()
    assert size() < 1.3 * early


def test_outputs_are_measured_at_every_second_step_after_the_first():
    net = rows(nn.BatchNorm1d(16), nn.ReLU())
    optimizer = SGD(net.parameters(), 0.1)
    evidence = watched(net, lambda: [step(net, optimizer) for _ in range(24)] and None)
    assert evidence.measured == evidence.losses[0].calls == 24
    assert evidence.parameters["0.weight"].gradient.count == 24
    assert (evidence.modules["0"].calls, evidence.modules["1"].train_calls) == (24, 24)
    assert evidence.activations["2"].output.batches == 16 + 4
    assert evidence.modules["1"].input.batches == evidence.batches[0].input.batches == 16 + 4


def test_the_graph_spans_all_optimizers_of_a_step():
    nets: dict[str, nn.Module] = {"g": nn.Linear(8, 8), "d": nn.Linear(8, 1)}
    d, g = (SGD(net.parameters(), 0.01) for net in (nets["d"], nets["g"]))

    def train() -> None:
        for _ in range(4):
            d.zero_grad()
            F.mse_loss(nets["d"](X), torch.ones(32, 1)).backward()
            d.step()
            g.zero_grad()
            F.l1_loss(nets["d"](nets["g"](X)), torch.ones(32, 1)).backward()
            g.step()

    evidence = watched(nets, train)
    linear = [node.module for node in evidence.graph.named("linear")]
    assert sorted(linear) == ["d", "d", "g"]
    for loss in evidence.losses:
        assert evidence.graph.nodes[loss.node].name == loss.name
