"""Real trainers with the callbacks in them."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from normwise.errors import UsageError
from normwise.rules import lightning_callback, trainer_callback


def batches(count: int = 6) -> list[tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    return [(torch.randn(64, 4), torch.randint(0, 3, (64,))) for _ in range(count)]


@pytest.fixture(scope="module")
def pl():
    return pytest.importorskip("lightning.pytorch")


def fit(pl, callback, *, soft: bool, crash: bool = False):
    class Net(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))

        def training_step(self, batch, index):
            if crash and index == 4:
                raise ZeroDivisionError
            x, y = batch
            z = self.net(x)
            return F.cross_entropy(z.softmax(1) if soft else z, y)

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 1e-2)

    net = Net()
    trainer = pl.Trainer(
        max_epochs=2, accelerator="cpu", callbacks=[callback], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(net, DataLoader(batches(), batch_size=None, shuffle=True))
    return net


def test_lightning_is_watched_with_gradients_and_updates(pl):
    callback = lightning_callback(every=1, select="LOS101,GRD,OPT")
    net = fit(pl, callback, soft=True)
    findings = callback.watching.findings()
    assert [f.code for f in findings if f.level == "error"] == ["LOS101"]
    assert {"GRD103", "GRD104", "OPT101", "OPT103"} <= set(findings.clean), findings.unanswered
    evidence = callback.watching._watch.evidence()
    weight = evidence.parameters["net.0.weight"]
    assert weight.gradient.count == evidence.steps == 12
    assert weight.update.count
    assert weight.update.low > 0
    assert not any(module._forward_hooks for module in net.modules())


def test_lightning_healthy_and_watched_twice(pl):
    callback = lightning_callback(every=1)
    for _ in range(2):
        fit(pl, callback, soft=False)
        findings = callback.watching.findings()
        assert [f for f in findings if f.level != "info"] == []
        assert findings.notes == ()


def test_lightning_tells_after_a_crash(pl):
    callback = lightning_callback(every=1, select="LOS101")
    with pytest.raises(ZeroDivisionError):
        fit(pl, callback, soft=True, crash=True)
    assert [f.code for f in callback.watching.findings()] == ["LOS101"]
    assert callback.watching.end() is None


def test_transformers_is_watched_between_begin_and_end(capsys):
    transformers = pytest.importorskip("transformers")
    from transformers.trainer_callback import CallbackHandler, TrainerControl, TrainerState

    net = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3), nn.Softmax(1))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    callback = trainer_callback(every=1, select="LOS101,OPT103")
    assert isinstance(callback, transformers.TrainerCallback)
    handler = CallbackHandler([callback], net, None, optimizer, None)
    state, control = TrainerState(), TrainerControl()
    handler.on_train_begin(None, state, control)
    for x, y in batches():
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()
        handler.on_step_end(None, state, control)
    handler.on_train_end(None, state, control)
    findings = callback.watching.findings()
    assert [f.code for f in findings] == ["LOS101"]
    assert findings.clean == ["OPT103"]
    assert capsys.readouterr().out.startswith("normwise: 1 finding\n  error LOS101 ")
    assert not any(module._forward_hooks for module in net.modules())


def test_options_are_checked_at_once():
    with pytest.raises(UsageError, match="budget"):
        trainer_callback(budget=0)


@pytest.mark.parametrize("name", ["lightning", "transformers"])
def test_what_is_not_installed_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, f"normwise.rules.{name}", None)
    make = lightning_callback if name == "lightning" else trainer_callback
    with pytest.raises(UsageError, match=rf"pip install 'normwise\[{name}\]'"):
        make()


def test_nothing_before_the_first_training():
    assert list(trainer_callback().watching.findings()) == []
