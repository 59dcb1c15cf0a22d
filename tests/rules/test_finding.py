"""Findings in order, and those of several processes together."""

import json
import math
import multiprocessing
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD

from normwise.rules import Finding, Findings, watch


def found(code: str, where: str, level: str = "warning", confidence: float = 1.0) -> Finding:
    return Finding(code, "name", level, where, None, None, None, "", "", confidence)


FOUND = found("A", "1")


def test_the_worst_and_surest_come_first():
    findings = Findings(
        [
            *(found("A", "1", "info"), found("B", "2")),
            *(found("C", "3", "error", 0.5), found("D", "4", "error", 0.9)),
        ]
    )
    assert [f.code for f in findings] == ["D", "C", "B", "A"]
    assert findings.worst == "error"
    assert Findings().worst is None


def test_merging_keeps_each_fault_once_and_what_anybody_knew():
    one = Findings([found("A", "1")], clean=["B"], unanswered={"C": "why"}, notes=("n",))
    two = Findings([found("A", "1"), found("B", "2")], clean=["C"], notes=("n", "m"))
    both = one.merged(two)
    assert [(f.code, f.where) for f in both] == [("A", "1"), ("B", "2")]
    assert both.clean == ["C"]
    assert both.unanswered == {}
    assert both.notes == ("n", "m")
    assert one.merged(Findings()).unanswered == {"C": "why"}


def train(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(rank)
    net = DistributedDataParallel(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
    optimizer = SGD(net.parameters(), 0.1)
    with watch(net, optimizer, every=1, select="OPT103") as watching:
        for _ in range(6):
            net(torch.randn(16, 4)).square().mean().backward()
            optimizer.step()
    findings, evidence = watching.findings(), watching.evidence()
    assert list(evidence.parameters) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert evidence.modules["0"].output.count == 6 * 16
    gathered: list[Findings] = [Findings(), Findings()]
    dist.all_gather_object(gathered, findings)
    places = [(f.code, f.where) for f in gathered[0].merged(gathered[1])]
    Path(folder, f"{rank}.txt").write_text(repr(places))
    dist.destroy_process_group()


def test_processes_that_train_together_are_each_watched_once(tmp_path: Path):
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=train, args=(rank, str(tmp_path))) for rank in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    texts = [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)]
    assert texts == [repr([("OPT103", "SGD")])] * 2


def test_numbers_that_json_lacks_are_none():
    found = replace(FOUND, value=math.inf, threshold=math.nan)
    assert (found.to_dict()["value"], found.to_dict()["threshold"]) == (None, None)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == found.to_dict()


def test_the_fields_are_exactly_these():
    assert list(FOUND.to_dict()) == [
        *("code", "name", "level", "where", "step", "value", "threshold", "message", "advice"),
        "confidence",
    ]


def test_places_are_kept_when_findings_are_merged():
    mine = Findings([FOUND], places={FOUND.where: "net.py:1"})
    theirs = Findings([FOUND], places={FOUND.where: "net.py:2", "other": "net.py:3"})
    assert mine.merged(theirs).places == {FOUND.where: "net.py:1", "other": "net.py:3"}
    assert mine.place(FOUND) == "net.py:1"
    assert mine.place(replace(FOUND, where="elsewhere")) == ""
