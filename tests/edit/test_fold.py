"""What `fold` promises besides the zoo: real architectures, own edits, proofs, refusals, saving."""

import copy
import io
import pickle
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import normwise as nw
from normwise.edit import fold
from normwise.edit.folding import steps
from normwise.edit.folding.draft import Draft
from normwise.errors import UsageError


def randomized(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give norms statistics, scales and shifts that make a difference."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.endswith("running_mean"):
                tensor.normal_()
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase | nn.LayerNorm) and (
                module.weight is not None
            ):
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
    return network


def places(folded: nw.edit.Folded) -> list[str]:
    return [entry.place for entry in folded.report.folded]


def operators(folded: nw.edit.Folded) -> str:
    return " ".join(str(getattr(n.target, "__name__", n.target)) for n in folded.graph.nodes)


def relative(one: Tensor, other: Tensor) -> float:
    one, other = one.detach().double(), other.detach().double()
    return float((one - other).abs().max() / other.abs().max())


def check(network: nn.Module, x: Tensor, bound: float = 1e-5) -> nw.edit.Folded:
    folded = fold(network, x)
    assert not folded.report.undone
    with torch.no_grad():
        for probe in (x, 3 * torch.randn_like(x) + 1, x[:1]):
            assert relative(folded(probe), copy.deepcopy(network).eval()(probe)) <= bound
    return folded


# --- real architectures -------------------------------------------------------------------------


class BasicBlock(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride > 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


def resnet18(width: int = 4) -> nn.Module:
    blocks = [
        BasicBlock(width * i, width * o, s)
        for i, o, s in ((1, 1, 1), (1, 1, 1), (1, 2, 2), (2, 2, 1), (2, 4, 2), (4, 4, 1))
    ]
    blocks += [BasicBlock(width * 4, width * 8, 2), BasicBlock(width * 8, width * 8, 1)]
    stem = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width * 8, 10)
    return nn.Sequential(*stem, nn.MaxPool2d(3, 2, 1), *blocks, *head)


def test_resnet18():
    network = randomized(resnet18())
    folded = check(network, torch.randn(2, 3, 64, 64))
    assert len(folded.report.folded) == 20  # one norm for each convolution
    assert not folded.report.left
    assert "batch_norm" not in operators(folded)
    assert set(folded.state_dict()) == {
        name.replace(".weight", suffix)
        for name, module in network.named_parameters()
        if module.ndim > 1
        for suffix in (".weight", ".bias")
    }


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        hidden = 2 * inputs
        self.skip = stride == 1 and inputs == outputs
        self.body = nn.Sequential(
            *(nn.Conv2d(inputs, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU6()),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            *(nn.BatchNorm2d(hidden), nn.Hardswish()),
            *(nn.Conv2d(hidden, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.skip else self.body(x)


def test_mobilenet_blocks():
    blocks = InvertedResidual(4, 4, 1), InvertedResidual(4, 6, 2)
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(6, 5)
    folded = check(randomized(nn.Sequential(*blocks, *head)), torch.randn(3, 4, 12, 10))
    assert len(folded.report.folded) == 7
    assert not folded.report.left


class DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, 8, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(8), nn.Conv2d(8, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


def test_densenet_block():
    network = randomized(nn.Sequential(DenseLayer(4, 3), DenseLayer(7, 3)))
    folded = check(network, torch.randn(2, 4, 8, 7))
    assert places(folded) == ["0.norm2", "1.norm2"]
    assert {entry.place for entry in folded.report.left} == {"0.norm1", "1.norm1"}


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.deep = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.up, self.norm = nn.ConvTranspose2d(8, 4, 2, stride=2), nn.BatchNorm2d(4)
        self.out = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down(x)
        y = self.norm(self.up(self.deep(F.max_pool2d(skip, 2))))
        return self.out(torch.cat([skip, y], 1))


def test_unet_block():
    folded = check(randomized(UNet()), torch.randn(2, 1, 8, 12))
    assert places(folded) == ["down.1", "deep.1", "norm"]


@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer_encoder(norm_first: bool):
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.1, batch_first=True, norm_first=norm_first)
    network = randomized(nn.TransformerEncoder(layer, 1, enable_nested_tensor=False))
    folded = check(network, torch.randn(3, 5, 8))
    assert "dropout" not in operators(folded)
    forward = [entry.place for entry in folded.report.folded if "forward" in entry.what]
    norms = ["layers.0.norm1", "layers.0.norm2"]
    assert forward == (norms if norm_first else [])


# --- what our own edits made --------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(6, 4), (6, 5, 4)], ids=["features", "tokens"])
@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_inserted_norms_and_dropout_fold_away(norm: str, placement: str, shape: tuple[int, ...]):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(shape)
    nw.insert_dropout(nw.insert_norm(network, norm, x, placement=placement), 0.3, x)
    randomized(network)
    folded = check(network, x)
    told = operators(folded)
    assert "dropout" not in told
    assert "batch_norm" not in told
    if norm == "batch":
        assert set(folded.state_dict()) == {f"{i}.{n}" for i in "024" for n in ("weight", "bias")}


def test_frozen_norms_fold():
    network = randomized(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    nw.freeze_norm(network)
    assert "batch_norm" not in operators(check(network, torch.randn(2, 3, 6, 6)))


def test_dropouts_of_our_own_leave_no_trace():
    kinds = (nw.layers.LockedDropout(), nw.layers.DropBlock2d(), nw.layers.GaussianDropout())
    network = nn.Sequential(nn.Conv2d(3, 4, 3), *kinds, nn.BatchNorm2d(4))
    folded = check(randomized(network), torch.randn(2, 3, 6, 6))
    assert operators(folded).split()[-2:] == ["conv2d", "output"]


# --- proofs -------------------------------------------------------------------------------------


def three_norms() -> nn.Sequential:
    layers = (layer for _ in range(3) for layer in (nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Tanh()))
    return nn.Sequential(*layers)


def test_a_wrong_step_is_found_undone_and_told(monkeypatch: pytest.MonkeyPatch):
    right = steps.Layer.after

    def wrong(layer: Any, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        weight, bias = right(layer, scale, shift)
        path, _ = layer.node.meta["place"]
        return weight, bias + (0.01 if path == "3" else 0)

    monkeypatch.setattr(steps.Layer, "after", wrong)
    network = randomized(three_norms())
    x = torch.randn(4, 6)
    folded = fold(network, x)
    assert places(folded) == ["1", "7"]
    [undone] = folded.report.undone
    assert (undone.place, undone.into) == ("4", "3")
    assert "relative error" in undone.reason
    assert "undone  4  norm folded back into 3: relative error" in str(folded.report)
    torch.testing.assert_close(folded(x), network.eval()(x))


def test_folding_that_loses_accuracy_is_undone():
    # Products of 1e25 and 1e25 overflow in float32, though neither network's values do.
    network = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.eye(4) * 1e-25)
        network[1].weight.copy_(torch.eye(4) * 1e-25)
    x = torch.full((2, 4), 1e20)
    folded = fold(network, x)
    assert [entry.what for entry in folded.report.undone] == ["layers merged"]
    torch.testing.assert_close(folded(x), network(x))


def test_the_error_is_measured_against_float64():
    network = randomized(three_norms())
    x = torch.randn(4, 6)
    report = fold(network, x).report
    assert report.reference == "float64"
    assert report.probes == 5
    exact = copy.deepcopy(network).double().eval()(x.double())
    assert report.original_error >= relative(network.eval()(x), exact) > 0
    assert 0 < report.error <= report.bound < 1e-5


def test_random_networks_stay_in_their_own_dtype():
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.dropout(x, 0.5)  # active in evaluation mode, too

    report = fold(nn.Sequential(nn.Linear(4, 6), Noisy()), torch.randn(8, 4)).report
    assert "training=True" in report.left[0].reason
    assert report.error <= report.bound


SIZES = st.integers(1, 5)


def test_the_work_grows_with_the_graph_and_not_with_its_paths(monkeypatch: pytest.MonkeyPatch):
    class Doubling(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(12):
                x = torch.tanh(x) + x
            return x

    calls = []
    constant = Draft.constant
    monkeypatch.setattr(Draft, "constant", lambda *a: calls.append(a) or constant(*a))
    fold(Doubling(), torch.randn(3, 4))
    assert len(calls) < 12 * 20  # there are 2^12 paths


def test_an_example_of_nothing_but_nan_is_no_proof(monkeypatch: pytest.MonkeyPatch):
    network = randomized(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))
    monkeypatch.setattr(steps.Layer, "after", lambda layer, scale, shift: (layer.weight, shift))
    assert fold(network, torch.full((3, 4), torch.nan)).report.undone


@settings(derandomize=True, max_examples=4, deadline=None, database=None)
@given(
    kinds=st.lists(st.sampled_from(["linear", "norm", "relu", "dropout", "skip"]), max_size=7),
    sizes=st.lists(SIZES, min_size=8, max_size=8),
)
def test_random_networks_agree(kinds: list[str], sizes: list[int]):
    torch.manual_seed(len(kinds))
    width, layers = 4, [nn.Linear(4, 4)]
    for kind, size in zip(kinds, sizes, strict=False):
        if kind == "linear":
            layers.append(nn.Linear(width, size + 1))
            width = size + 1
        else:
            make = {"norm": lambda w=width: nn.BatchNorm1d(w), "skip": nn.Identity}
            make |= {"relu": nn.ReLU, "dropout": nn.Dropout}
            layers.append(make[kind]())
    network = randomized(nn.Sequential(*layers)).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    folded = fold(network, x)
    torch.testing.assert_close(folded(x), network.eval()(x), rtol=1e-12, atol=1e-12)
    assert "dropout" not in operators(folded)


# --- the result ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair() -> tuple[nn.Module, nw.edit.Folded]:
    network = randomized(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    return network.eval(), fold(network, torch.randn(2, 3, 6, 6))


def test_it_copies_pickles_saves_and_loads(pair: tuple[nn.Module, nw.edit.Folded]):
    network, folded = pair
    x = torch.randn(3, 3, 8, 7)
    fresh = fold(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), x)
    file = io.BytesIO()
    torch.save(folded.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    for twin in (copy.deepcopy(folded), pickle.loads(pickle.dumps(folded)), fresh):
        torch.testing.assert_close(twin(x), network(x))
        assert twin.report.folded == folded.report.folded
        with pytest.raises(UsageError, match=r"shape\[1\] == 3"):
            twin(torch.randn(2, 4, 6, 6))


def test_it_compiles_exports_and_folds_again(pair: tuple[nn.Module, nw.edit.Folded]):
    network, folded = pair
    x = torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(torch.export.export(folded, (x,)).module()(x), network(x))
    compiled = torch.compile(folded, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), network(x))
    assert not fold(folded, x).report.entries
    assert not folded.training
    torch.testing.assert_close(copy.deepcopy(folded).train()(x), network(x))
    torch.testing.assert_close(copy.deepcopy(folded).double()(x.double()).float(), network(x))
    assert not any(parameter.requires_grad for parameter in folded.parameters())


def test_it_has_weights_of_its_own(pair: tuple[nn.Module, nw.edit.Folded]):
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    x = torch.randn(2, 4)
    folded = fold(network, x)
    before = folded(x)
    nn.init.zeros_(network[2].weight)
    assert torch.equal(folded(x), before)


def test_named_arguments_keep_their_names():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.bn = nn.Linear(4, 6), nn.BatchNorm1d(6)

        def forward(self, x: Tensor, mask: Tensor | None = None, scale: float = 1.0) -> Any:
            y = self.bn(self.fc(x)) * scale
            return {"y": y if mask is None else y * mask}

    network = randomized(Named())
    x, mask = torch.randn(5, 4), torch.rand(5, 1)
    folded = fold(network, {"x": x, "mask": mask, "scale": 2.0})
    assert places(folded)[0] == "bn"
    wanted = network.eval()(x, mask, 2.0)["y"]
    torch.testing.assert_close(folded(x=x, mask=mask, scale=2.0)["y"], wanted)
    with pytest.raises(UsageError, match=r"== 2\.0"):
        folded(x=x, mask=mask, scale=3.0)


def test_inputs_that_take_another_path_are_refused():
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x) if x.shape[0] > 3 else x

    folded = fold(Branching(), torch.randn(5, 4))
    folded(torch.randn(9, 4))
    with pytest.raises(UsageError, match=r"inputs\[0\]\.shape\[0\] > 3"):
        folded(torch.randn(2, 4))


def test_one_sample_that_takes_another_path_is_never_silently_wrong():
    class Alone(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if len(x) == 1 else x

    folded = fold(Alone(), torch.randn(5, 4))
    with pytest.raises(UsageError, match=r"shape\[0\] == 5"):
        folded(torch.randn(1, 4))


def test_the_report_in_words_and_rows(pair: tuple[nn.Module, nw.edit.Folded]):
    report = pair[1].report
    text = str(report)
    assert text.startswith("folded  1  norm folded back into 0\ncaptured by torch.export")
    assert "for inputs (any, 3, any, any)" in text
    [row] = report.frame().to_dict("records")
    assert (row["outcome"], row["place"], row["into"]) == ("folded", "1", "0")
    assert report.bytes_before - report.bytes_after == 4 * 4 * 4 + 8  # four vectors, one counter
    assert min(report.milliseconds_before, report.milliseconds_after) > 0


# --- torch.fx -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unknown_operator() -> Any:
    """An operator of which torch.export does not know what it gives."""
    library = torch.library.Library("normwise_tests", "DEF")
    library.define("twice(Tensor x) -> Tensor")
    library.impl("twice", lambda x: 2 * x, "CPU")
    yield torch.ops.normwise_tests.twice
    library._destroy()


def test_what_torch_export_cannot_capture_goes_through_torch_fx(unknown_operator: Any):
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn, self.drop = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = unknown_operator(F.relu(self.drop(self.bn(self.conv(x)))))
            x = self.fc(x.mean((2, 3)))
            return F.batch_norm(x, self.bn.running_mean, self.bn.running_var)

    network = randomized(Own())
    folded = check(network, torch.randn(2, 3, 6, 6))
    assert folded.report.capture == "torch.fx"
    assert "torch.export: UnsupportedOperatorException" in folded.report.note
    assert [entry.place for entry in folded.report.folded] == ["drop", "bn", "batch_norm"]
    twin = copy.deepcopy(folded)
    x = torch.randn(3, 3, 5, 5)
    torch.testing.assert_close(twin(x), network.eval()(x))


def test_norms_that_modules_host_are_seen_by_torch_fx_too(unknown_operator: Any):
    class Own(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return unknown_operator(super().forward(x))

    network = Own(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    x = torch.randn(4, 4)
    hosted = nw.insert_norm(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), "batch", x)
    network[0] = hosted[0]
    folded = check(randomized(network), x)
    assert folded.report.capture == "torch.fx"
    assert places(folded) == ["0.norm"]


# --- refusals -----------------------------------------------------------------------------------


def test_bad_input_gets_one_clear_error_and_changes_nothing(capsys):
    class DataDependent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.bn(x) if x.sum() > 0 else x

    network = DataDependent()
    kept = copy.deepcopy(network.state_dict())
    asked = {
        "cannot be captured as a graph": (network, torch.ones(3, 4)),
        "fails on the example": (network, torch.ones(3, 5)),
        "example holds no tensor with values": (network, (1, 2)),
        "with one sample at least": (network, torch.ones(0, 4)),
        "example is a int": (network, 3),
        "network is a function": (lambda x: x, torch.ones(3, 4)),
    }
    for message, (given_network, example) in asked.items():
        with pytest.raises(UsageError, match=message) as caught:
            fold(given_network, example)
        assert len(caught.value.problems) == 1
        assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")  # where torch.export prints the graph that it gave up
    assert network.training
    assert all(torch.equal(kept[name], value) for name, value in network.state_dict().items())
    assert "last" not in vars(network)


def test_a_forward_that_sets_attributes_leaves_none_behind():
    class Remembering(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            self.last = self.fc(x)
            return self.last

    network = Remembering()
    fold(network, torch.randn(2, 4))
    assert "last" not in vars(network)
