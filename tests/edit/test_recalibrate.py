import copy
import random
from collections import namedtuple

import pytest
import torch
import torch.multiprocessing as mp
from torch import distributed as dist
from torch import nn
from torch.nn import functional as F

from normwise.edit import edits, freeze_norm, recalibrate
from normwise.errors import UsageError

BATCH_NORM = nn.modules.batchnorm._BatchNorm
X = torch.randn(53, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 2 + 5


class Block(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(size, size, 3, padding=1), nn.BatchNorm2d(size)
        self.conv2, self.bn2 = nn.Conv2d(size, size, 3, padding=1), nn.BatchNorm2d(size)
        self.conv3, self.bn3 = nn.Conv2d(size, size, 1), nn.BatchNorm2d(size)

    def forward(self, x):
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu_()))
        y += self.bn3(self.conv3(x))
        return y.relu()


def network() -> nn.Sequential:
    torch.manual_seed(1)
    head = nn.Flatten(), nn.Linear(108, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)
    net = nn.Sequential(nn.BatchNorm2d(3), Block(3), nn.Dropout(0.5), *head)
    return net.double()


def inputs_of_norms(net: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each norm sees in evaluation, on all data at once."""
    seen: dict[str, list[torch.Tensor]] = {}
    handles = [
        m.register_forward_pre_hook(lambda m, i, path=path: seen.setdefault(path, []).append(i[0]))
        for path, m in net.named_modules()
        if isinstance(m, BATCH_NORM)
    ]
    with torch.no_grad():
        copy.deepcopy(net)  # hooks stay behind
        net.eval()(x)
    for handle in handles:
        handle.remove()
    return {path: torch.cat(inputs) for path, inputs in seen.items()}


def assert_population(net: nn.Module, x: torch.Tensor) -> None:
    for path, inputs in inputs_of_norms(net, x).items():
        norm = net.get_submodule(path)
        axes = [axis for axis in range(inputs.ndim) if axis != 1]
        variance, mean = torch.var_mean(inputs, axes, correction=0)
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", [1, 7, 53])
def test_every_norm_gets_the_statistics_of_what_it_sees(size):
    net = network()
    assert recalibrate(net, X.double().split(size)) is net
    assert_population(net, X.double())
    counts = {edit.path: edit.done.rsplit(" of ")[1] for edit in edits(net)}
    assert counts == {
        "0": "1908 values per channel",
        **{f"1.bn{i}": "1908 values per channel" for i in (1, 2, 3)},
        "5": "53 values per channel",
    }


def test_on_one_batch_evaluation_is_training():
    for exact in (True, False):
        net = network()
        net[2].p = 0.0
        recalibrate(net, [X.double()], exact=exact)
        torch.testing.assert_close(net.eval()(X.double()), net.train()(X.double()))


def test_one_pass_uses_the_statistics_of_the_batch():
    net = network()
    reference = copy.deepcopy(net)
    recalibrate(net, X.double().split(10), exact=False)
    # by hand: train mode without dropout, everything that enters each norm pooled
    reference[2].eval()
    seen: dict[str, list[torch.Tensor]] = {}
    for path, m in reference.train().named_modules():
        if isinstance(m, BATCH_NORM):
            m.register_forward_pre_hook(lambda m, i, p=path: seen.setdefault(p, []).append(i[0]))
    reference[2].eval()
    for batch in X.double().split(10):
        reference(batch)
    for path, inputs in seen.items():
        pooled = torch.cat(inputs)
        axes = [axis for axis in range(pooled.ndim) if axis != 1]
        variance, mean = torch.var_mean(pooled, axes, correction=0)
        norm = net.get_submodule(path)
        torch.testing.assert_close(norm.running_mean, mean, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(norm.running_var, variance, rtol=1e-9, atol=1e-9)


def test_a_mean_of_1e4_leaves_a_variance_of_1():
    torch.manual_seed(0)
    x = 1e4 + torch.randn(4000, 2)
    norm = recalibrate(nn.BatchNorm1d(2), x.split(64))
    truth = x.double().var(0, correction=0).float()
    torch.testing.assert_close(norm.running_var, truth, rtol=1e-6, atol=0)


def test_a_norm_used_side_by_side_pools_all_uses():
    class Twins(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm1d(2)

        def forward(self, x):
            return self.bn(x) + self.bn(3 * x)

    x = torch.randn(20, 2, dtype=torch.float64)
    net = recalibrate(Twins().double(), x.split(6))
    torch.testing.assert_close(net.bn.running_mean, torch.cat([x, 3 * x]).mean(0))


def test_a_norm_in_a_loop_is_said_to_be():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm1d(2)

        def forward(self, x):
            return self.bn(2 + self.bn(x))

    x = torch.randn(20, 2, dtype=torch.float64)
    net = recalibrate(Loop().double(), [x])
    norm = nn.functional.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(net.bn.running_mean, torch.cat([x, 2 + norm]).mean(0))
    [edit] = edits(net)
    assert edit.note.startswith("it sees what it has made itself")


def test_a_pass_ends_where_its_norms_have_been_reached():
    net, runs = network(), []
    net[6].register_forward_hook(lambda m, i, o: runs.append("head"))
    net[1].register_forward_hook(lambda m, i, o: runs.append("block"))
    recalibrate(net, X.double().split(30))
    # of four passes over two batches, the last and the look at the first batch reach the head
    assert (runs.count("block"), runs.count("head")) == (3, 3)


# --- what stays as it is ------------------------------------------------------------------------


def test_all_else_stays():
    net = network()
    net.register_buffer("mine", torch.ones(2))
    net[1].eval()
    before = copy.deepcopy(net.state_dict())
    modes = [m.training for m in net.modules()]
    states = torch.get_rng_state(), random.getstate()
    shuffled = torch.utils.data.DataLoader(X.double(), 10, shuffle=True)
    recalibrate(net, shuffled)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert [m.training for m in net.modules()] == modes
    changed = {name for name, t in net.state_dict().items() if not torch.equal(t, before[name])}
    assert {name.rsplit(".", 1)[1] for name in changed} == {"running_mean", "running_var"}
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in net.modules())
    assert_population(net, X.double())


def test_frozen_norms_stay():
    net = freeze_norm(network(), where="1.*")
    before = copy.deepcopy(net[1].state_dict())
    recalibrate(net, [X.double()])
    assert all(torch.equal(t, before[name]) for name, t in net[1].state_dict().items())
    torch.testing.assert_close(net[0].running_mean, X.double().mean((0, 2, 3)))


def test_a_failure_on_the_way_brings_the_old_statistics_back():
    for exact, batch in ((True, 11), (False, 3)):
        net = network()
        before = copy.deepcopy(net.state_dict())
        runs = iter(range(10**6))

        def forward(net, x, runs=runs, batch=batch):
            if next(runs) == batch:
                raise ZeroDivisionError
            return net(x)

        with pytest.raises(ZeroDivisionError):
            recalibrate(net, X.double().split(10), forward, exact=exact)
        assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
        assert net.training
        assert not any(m._forward_pre_hooks for m in net.modules())
        assert not edits(net)


def test_norms_keep_a_forward_of_their_own():
    class Twice(nn.BatchNorm1d):
        def forward(self, input):
            return super().forward(2 * input)

    net = nn.Sequential(nn.BatchNorm1d(2), Twice(2)).double()
    mine = net[0].forward = lambda input: F.batch_norm(input + 1, None, None, training=True)
    for exact in (True, False):
        recalibrate(net, [x, 2 * x], exact=exact)
        assert net[0].forward is mine
        assert "forward" not in vars(net[1])
        torch.testing.assert_close(net[0].running_mean, 1.5 * x.mean(0))
        torch.testing.assert_close(net[1].running_mean, torch.zeros(2).double())


def test_a_norm_called_by_name_and_hooked_by_its_user():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.bn = nn.BatchNorm1d(2)

        def forward(self, x):
            return self.bn(input=x)

    for exact in (True, False):
        net = Named().double()
        net.bn.register_forward_pre_hook(
            lambda m, i, k: (i, {"input": k["input"] + 1}), with_kwargs=True
        )
        recalibrate(net, x.split(6), exact=exact)
        torch.testing.assert_close(net.bn.running_mean, x.mean(0) + 1)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("wrong", [torch.randn(6, 1), torch.randn(6, 3)])
def test_a_later_batch_of_another_width_is_refused(wrong, exact):
    with pytest.raises(UsageError, match="does not run on a batch"):
        recalibrate(one_norm(), [x, wrong.double()], exact=exact)


@pytest.mark.parametrize("exact", [True, False])
def test_a_norm_of_images_takes_no_rows(exact):
    with pytest.raises(UsageError, match="expected 4D input"):
        recalibrate(nn.BatchNorm2d(2).double(), [x], exact=exact)


# --- loaders ------------------------------------------------------------------------------------


def one_norm() -> nn.Module:
    return nn.BatchNorm1d(2).double()


x = torch.randn(20, 2, dtype=torch.float64)
Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda b: b,
        lambda b: [b, torch.zeros(len(b))],
        lambda b: (b, torch.zeros(len(b))),
        lambda b: Pair(b, 0),
        lambda b: {"input": b},
    ],
)
def test_forms_of_batches(wrap):
    norm = recalibrate(one_norm(), [wrap(batch) for batch in x.split(6)])
    torch.testing.assert_close(norm.running_mean, x.mean(0))


def test_a_custom_forward():
    batches = [{"a": b, "scale": 2.0} for b in x.split(6)]
    norm = recalibrate(one_norm(), batches, lambda net, batch: net(batch["a"] * batch["scale"]))
    torch.testing.assert_close(norm.running_mean, 2 * x.mean(0))


def test_an_iterator_suffices_where_one_pass_does():
    norm = recalibrate(one_norm(), iter(x.split(6)))
    torch.testing.assert_close(norm.running_mean, x.mean(0))
    net = nn.Sequential(one_norm(), one_norm())
    recalibrate(net, iter(x.split(6)), exact=False)
    torch.testing.assert_close(net[0].running_mean, x.mean(0))


def test_wrapped_networks():
    norm = one_norm()
    recalibrate(nn.DataParallel(norm), [x])
    torch.testing.assert_close(norm.running_mean, x.mean(0))
    norm = one_norm()
    recalibrate(torch.compile(norm), [x])
    torch.testing.assert_close(norm.running_mean, x.mean(0))


def test_sync_batch_norm_on_the_cpu():
    norm = recalibrate(nn.SyncBatchNorm(2).double(), [x])
    torch.testing.assert_close(norm.running_mean, x.mean(0))


def test_empty_batches_count_for_nothing():
    norm = recalibrate(one_norm(), [x[:0], x[:12], x[:0], x[12:]])
    torch.testing.assert_close(norm.running_mean, x.mean(0))


class Writes(nn.Module):
    """Doubles its input in place: after two passes a list of batches would be four times itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = one_norm(), one_norm()

    def forward(self, input):
        return self.second(torch.tanh(self.first(input.mul_(2))))


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: (b, 0), lambda b: {"input": b}])
@pytest.mark.parametrize("exact", [True, False])
def test_batches_that_the_network_writes_to_stay(exact, wrap):
    mine = [b.clone() for b in x.split(6)]
    net = recalibrate(Writes(), [wrap(batch) for batch in mine], exact=exact)
    assert torch.equal(torch.cat(mine), x)
    torch.testing.assert_close(net.first.running_mean, 2 * x.mean(0))


def test_batches_are_copied_only_where_need_be():
    seen = []

    def forward(net, batch):
        seen.append(batch)
        return net(batch)

    mine = list(x.split(5))
    recalibrate(one_norm(), mine, forward)
    copied = [not any(batch is other for other in mine) for batch in seen]
    assert copied == [True, *[False] * 4]


def test_a_bar_is_shown_on_demand(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    recalibrate(one_norm(), [x], progress=True)
    assert "recalibrating" in capfd.readouterr().err
    recalibrate(one_norm(), [x], progress=False)
    assert capfd.readouterr().err == ""


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("net", "loader", "text"),
    [
        (nn.Linear(2, 2), [x], "no batch norm of this network has running statistics"),
        (nn.BatchNorm1d(2, track_running_stats=False), [x], "no batch norm of this network has"),
        (freeze_norm(nn.BatchNorm1d(2)), [x], "every batch norm of this network is frozen"),
        (nn.Sequential(nn.LazyBatchNorm1d()), [x], "0 is lazy and has no shape yet"),
        (one_norm(), [], "the loader is empty"),
        (one_norm(), x, "loader=Tensor: give a DataLoader, or batches such as"),
        (one_norm(), 3, "loader=int"),
        (
            one_norm(),
            [x[:, :1]],
            r"does not run on a batch of the loader, a tensor of shape \(20, 1",
        ),
        (one_norm(), [{"y": x}], "a mapping with y as keyword arguments"),
        (one_norm(), [[x.tolist()]], "of which it takes the first part"),
        (one_norm(), [x / 0], "what enters the norm is not finite"),
        (nn.Sequential(one_norm(), one_norm()), iter([x, x]), "and 2 are needed"),
    ],
)
def test_refusals(net, loader, text):
    before = {name: t for name, t in net.state_dict().items() if not nn.parameter.is_lazy(t)}
    before, told = copy.deepcopy(before), edits(net)
    with pytest.raises(UsageError, match=text):
        recalibrate(net, loader)
    assert all(torch.equal(net.state_dict()[name], t) for name, t in before.items())
    assert edits(net) == told


def test_single_values_give_no_variance_to_normalise_with():
    net = nn.Sequential(one_norm(), one_norm())
    with pytest.raises(UsageError, match="a batch brings 0 a single value per channel"):
        recalibrate(net, x.split(1), exact=False)
    recalibrate(net, x.split(1))


def test_a_forward_that_changes_the_mode():
    with pytest.raises(UsageError, match="puts the norm in training mode"):
        recalibrate(one_norm(), [x], lambda net, batch: net.train()(batch))


def test_a_route_that_depends_on_the_data():
    class Routes(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.BatchNorm1d(2), nn.BatchNorm1d(2)

        def forward(self, x):
            return self.a(x) if len(x) > 5 else self.b(x)

    net = Routes().double()
    with pytest.raises(UsageError, match="does not use the same batch norms for every batch"):
        recalibrate(net, [x[:15], x[15:]])
    recalibrate(net, [x[:15], x[15:]], exact=False)
    torch.testing.assert_close(net.b.running_mean, x[15:].mean(0))


def test_norms_that_no_batch_uses_are_left_and_told():
    net = nn.ModuleDict({"a": one_norm(), "b": one_norm()})
    recalibrate(net, [x], lambda net, batch: net["a"](batch))
    assert net["b"].running_mean.tolist() == [0, 0]
    assert [(edit.path, edit.note) for edit in edits(net)] == [
        ("a", ""),
        ("b", "no batch has used it"),
    ]
    with pytest.raises(UsageError, match="no batch norm of this network was used"):
        recalibrate(net, [x], lambda net, batch: batch)


# --- many processes -----------------------------------------------------------------------------


def _process(rank: int, store: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    net = network()
    share = X.double()[:20] if rank == 0 else X.double()[20:]
    recalibrate(net, share.split(9))
    problem = ""
    try:
        recalibrate(network(), [] if rank == 1 else [share])
    except UsageError as error:
        problem = str(error)
    torch.save({"state": net.state_dict(), "problem": problem}, f"{out}.{rank}")
    dist.destroy_process_group()


def test_processes_pool_what_they_have_seen(tmp_path):
    arguments = str(tmp_path / "store"), str(tmp_path / "out")
    mp.start_processes(_process, arguments, nprocs=2, start_method="fork")
    one, two = (torch.load(f"{arguments[1]}.{rank}") for rank in (0, 1))
    net = network()
    net.load_state_dict(one["state"])
    assert_population(net, X.double())
    assert all(torch.equal(t, two["state"][name]) for name, t in one["state"].items())
    assert one["problem"] == "the process with rank 1 has failed; see its own error"
    assert two["problem"].startswith("the loader is empty")
