"""The page of findings: its tables hold what was measured."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from normwise.evidence import Evidence, probe
from normwise.rules import Finding, Findings, write_page
from normwise.rules.html import facts, findings_table, training_tables, verdict


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    batches = [(torch.randn(64, 4), torch.randn(64, 1)) for _ in range(4)]
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    return probe(net, batches, nn.functional.mse_loss, optimizer)


def finding(level: str = "warning", step: int | None = 3) -> Finding:
    return Finding("ACT101", "dead-units", level, "", step, 1.0, 0.5, "all dead", "less", 0.9)  # type: ignore[arg-type]


def test_tables_hold_what_was_measured(evidence):
    tables = training_tables([""], evidence)
    assert tables.name == "Inside the network"
    assert tables.loss.value.tolist() == evidence.objective.values.tolist()
    assert tables.layers.layer.tolist() == ["0", "1", "2"]
    assert tables.layers.type.tolist() == ["Linear", "relu", "Linear"]
    assert tables.layers["std"][0] == evidence.modules["0"].output.total_std
    assert tables.layers.dead[1] == evidence.activations["1"].output.dead
    assert tables.weights.parameter.tolist() == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert tables.weights.gradient[0] == evidence.parameters["0.weight"].gradient.mean


def test_histograms_are_densities_of_the_sample(evidence):
    bins = training_tables([""], evidence).histograms
    for layer, units in (("0", evidence.modules["0"].output),):
        mine = bins[bins.layer == layer]
        assert ((mine.right - mine.left) * mine.density).sum() == pytest.approx(1.0)
        counts, _ = np.histogram(units.sample, bins=[*mine.left, mine.right.iloc[-1]])
        shares = (mine.right - mine.left) * mine.density
        assert shares.to_numpy() == pytest.approx(counts / counts.sum())


def test_findings_become_rows():
    findings = Findings([finding(), finding("error", None)], places={"": "net.py:3"})
    table = findings_table(findings)
    assert table.level.tolist() == ["error", "warning"]
    assert table["where"].tolist() == ["the network"] * 2
    assert table.place.tolist() == ["net.py:3"] * 2
    assert math.isnan(table.step[0])
    assert table.step[1] == 3


def test_the_verdict_counts_and_names_the_worst():
    findings = Findings([finding("error"), finding("warning"), finding("warning"), finding("info")])
    assert verdict(findings) == "1 error, 2 warnings, 1 remark. First of all: all dead."


def test_facts_say_what_was_looked_for(evidence):
    findings = Findings(clean=["NRM101"], unanswered={"A": "no loss", "B": "no loss", "C": "no"})
    found = facts(findings, [evidence, evidence])
    assert found["optimizer steps"] == "8"
    assert found["rules that found nothing"] == "NRM101"
    assert found["rules that could not tell"] == "A, B: no loss; C: no"


def test_page_shows_findings_and_figures(evidence, tmp_path):
    hostile = Finding("ACT101", "dead-units", "error", "<b>", 3, 1.0, 0.5, "<i>", "<u>", 0.9)
    trainings = [([""], evidence), (["<i>", "d"], evidence)]
    page = write_page(Findings([hostile]), trainings, tmp_path / "page.html", title="<script>")
    text = page.read_text("utf-8")
    assert text.count('<figure class="plot') == 6
    assert "&lt;script&gt;" in text
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert "<u>" not in text
    assert "&lt;i&gt; and d" in text


def test_networks_that_never_ran_make_a_page(tmp_path):
    nothing = probe(nn.Flatten(), [torch.zeros(2, 3)])
    page = write_page(Findings(), [([""], nothing)], tmp_path / "page.html", title="train.py")
    assert "Nothing was found" in page.read_text("utf-8")


def test_values_that_are_not_finite_make_a_page(tmp_path):
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    nn.init.constant_(net[0].weight, math.inf)
    evidence = probe(net, [(torch.randn(16, 4), torch.randn(16, 1))], nn.functional.mse_loss)
    page = write_page(Findings(), [([""], evidence)], tmp_path / "page.html", title="train.py")
    assert page.exists()
