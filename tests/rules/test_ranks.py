"""What several processes of one training find is told once."""

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
import torch

from normwise.rules import Finding, Findings
from normwise.rules.ranks import gather

SCRIPT = """
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

dist.init_process_group("gloo")
rank = dist.get_rank()
torch.manual_seed(rank)
inner = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4), nn.Softmax(1))
net = DistributedDataParallel(inner)
optimizer = torch.optim.SGD(net.parameters(), 0.1)
for _ in range(30):
    x = torch.randn(32, 8)
    if rank == 0:
        optimizer.zero_grad()  # the other process forgets it
    F.cross_entropy(net(x), x[:, :4].argmax(1)).backward()
    optimizer.step()
print("rank", rank, "ends")
dist.destroy_process_group()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="gloo and torchrun differ there")
def test_two_processes_under_torchrun(tmp_path):
    (tmp_path / "train.py").write_text(SCRIPT)
    watch = [sys.executable, "-m", "normwise", "watch", "--every", "1", "--format", "json"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*launch, "--no-python", *watch, "--select", "LOS101,OPT103,ACT101", "train.py"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    told = json.loads(done.stdout)  # which the second process leaves alone
    assert done.returncode == 1, done.stderr
    assert "rank 0 ends" in done.stderr
    assert "rank 1 ends" in done.stderr
    found = {(each["code"], each["where"]) for each in told["findings"]}
    assert found == {("LOS101", "train.py:18"), ("OPT103", "SGD")}
    assert len(told["findings"]) == 2
    assert told["clean"] == ["ACT101"]
    assert told["notes"] == []


def environment(monkeypatch, store: torch.distributed.TCPStore, rank: int) -> None:
    named = {"RANK": rank, "WORLD_SIZE": 3, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port}
    for name, value in {**named, "TORCHELASTIC_USE_AGENT_STORE": True}.items():
        monkeypatch.setenv(name, str(value))


def test_the_first_waits_for_the_others_and_says_who_is_missing(monkeypatch):
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setattr("normwise.rules.ranks._PATIENCE", timedelta(seconds=1))
    dead = Finding("ACT101", "dead-units", "warning", "2", 3, float("nan"), 0.5, "m", "a", 0.9)
    environment(monkeypatch, store, 1)
    assert gather(Findings([dead], ["NRM101"], places={"2": "net.py:5"})) is None
    environment(monkeypatch, store, 0)
    both = gather(Findings(clean=["ACT101", "NRM101"]))
    assert [(f.code, f.where, f.value) for f in both] == [("ACT101", "2", None)]
    assert (both.clean, both.places) == (["NRM101"], {"2": "net.py:5"})
    assert both.notes == ("nothing was heard of rank 2",)


TELL = """
import json
from normwise.rules import Finding, Findings
from normwise.rules.ranks import gather
import os
rank = os.environ["SLURM_PROCID"]
found = Finding("ACT101", "dead-units", "warning", rank, 3, 1.0, 0.5, "m", "a", 0.9)
merged = gather(Findings([found], clean=["NRM101"]))
print(json.dumps(None if merged is None else merged.to_dict()))
"""


def test_processes_under_srun():
    job = {
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_STEP_ID": "3",
    }
    both = [
        subprocess.Popen(
            [sys.executable, "-c", TELL],
            env={**os.environ, **job, "SLURM_PROCID": rank},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in ("0", "1")
    ]
    first, second = (json.loads(each.communicate(timeout=120)[0]) for each in both)
    assert second is None
    assert [each["where"] for each in first["findings"]] == ["0", "1"]
    assert (first["clean"], first["notes"]) == (["NRM101"], [])


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"},  # a batch script itself
        {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4", "SLURM_JOB_ID": "7"},  # on which nodes?
        {"SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "1", "MASTER_ADDR": "x", "SLURM_JOB_ID": "7"},
    ],
)
def test_who_knows_of_no_others_tells_its_own(monkeypatch, environment: dict[str, str]):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = Findings(clean=["NRM101"])
    assert gather(found) is found


def test_who_cannot_reach_the_first_tells_its_own_and_says_so(monkeypatch):
    monkeypatch.setattr("normwise.rules.ranks._PATIENCE", timedelta(seconds=1))
    named = {"PROCID": "1", "STEP_NUM_TASKS": "2", "STEP_NUM_NODES": "1", "JOB_ID": "991234"}
    for name, value in named.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    found = gather(Findings(clean=["NRM101"]))
    assert found is not None
    assert found.clean == ["NRM101"]
    assert found.notes == ("the processes did not meet; these are the findings of rank 1 only",)
