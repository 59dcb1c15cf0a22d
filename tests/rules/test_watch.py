"""`watch` around loops, and what it refuses."""

import pytest
import torch
from torch import nn
from torch.optim import SGD

from normwise.errors import UsageError
from normwise.rules import watch


def test_all_mistakes_at_once():
    with pytest.raises(UsageError) as caught:
        watch("net", [3], budget=2, every=0, select="ABC")
    assert len(caught.value.problems) == 5


def test_findings_can_be_asked_for_while_training_and_after_a_crash():
    net = nn.Linear(4, 2)
    optimizer = SGD(net.parameters(), 0.1)
    seen = []

    def train() -> None:
        for _ in range(5):
            net(torch.randn(8, 4)).square().mean().backward()
            optimizer.step()
            seen.append([f.code for f in watching.findings()])
        raise KeyboardInterrupt

    watching = watch(net, optimizer, every=1, select="OPT103")
    with pytest.raises(KeyboardInterrupt), watching:
        train()
    assert seen[0] == []
    assert seen[-1] == ["OPT103"]
    assert [f.code for f in watching.findings()] == ["OPT103"]


def test_watching_twice_does_not_pile_up():
    net = nn.Linear(4, 2)
    for _ in range(3):
        with watch(net, every=1), watch(net, every=1):
            net(torch.randn(8, 4))
    assert not net._forward_hooks
    assert not net._forward_pre_hooks


def test_frame_has_a_row_per_measurement():
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    optimizer = SGD(net.parameters(), 0.1)
    with watch(net, optimizer, every=1) as watching:
        for _ in range(5):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(net(torch.ones(8, 4)), torch.ones(8, 2))
            loss.backward()
            optimizer.step()
    frame = watching.frame()
    assert list(frame.columns) == ["step", "what", "where", "value"]
    losses = frame[frame.what == "loss"]
    assert losses.step.tolist() == [0, 1, 2, 3, 4]
    assert losses.value.iloc[-1] == pytest.approx(loss.item())
    of_weight = frame[(frame["where"] == "0.weight") & (frame.what == "gradient norm")]
    assert len(of_weight) == 5
    assert set(frame.what) == {
        *("loss", "gradient norm", "weight norm", "update norm", "update ratio"),
        "output gradient norm",
    }


def test_plot_shows_a_module_and_its_parameters(tmp_path):
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    optimizer = SGD(net.parameters(), 0.1)
    with watch(net, optimizer, every=1) as watching:
        for _ in range(5):
            net(torch.randn(8, 4)).square().sum().backward()
            optimizer.step()
    figure = watching.plot("0")
    labels = [axes.get_title() for axes in figure.axes]
    assert labels == ["gradient norm", "output gradient norm", "update ratio", "values"]
    assert len(figure.axes[0].lines) == 2
    with pytest.raises(UsageError, match="no module '9'"):
        watching.plot("9")


def test_page_holds_findings_and_both_networks(tmp_path):
    nets = {"g": nn.Linear(4, 4), "d": nn.Linear(4, 1)}
    optimizers = [SGD(net.parameters(), 0.1) for net in nets.values()]
    with watch(nets, optimizers, every=1, select="OPT103") as watching:
        for _ in range(6):
            nets["d"](nets["g"](torch.randn(8, 4))).square().mean().backward()
            for optimizer in optimizers:
                optimizer.step()
    text = watching.to_html(tmp_path / "page.html", title="no clearing").read_text("utf-8")
    assert "no clearing" in text
    assert "g and d" in text
    assert text.count("OPT103") >= 1
    assert "g.weight" in text
