"""Work in several processes: everything arrives, and nobody is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from normwise.errors import UsageError
from normwise.stack import InProcess, Processes

Send = Callable[[Any], None]


def collected(executor: InProcess | Processes, jobs: list[Any], work: Any) -> list[Any]:
    received: list[Any] = []
    executor.run(jobs, work, received.append)
    return received


def squares(job: int, send: Send) -> None:
    for power in range(3):
        send((job, power, job**power))


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; a zombie has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize("executor", [InProcess(), Processes(1), Processes(3), Processes(20)])
def test_everything_arrives_in_the_order_of_its_job(executor: InProcess | Processes):
    received = collected(executor, list(range(7)), squares)
    assert sorted(received) == [(job, power, job**power) for job in range(7) for power in range(3)]
    for job in range(7):
        assert [power for j, power, _ in received if j == job] == [0, 1, 2]


@pytest.mark.parametrize("executor", [InProcess(), Processes(2)])
def test_no_jobs(executor: InProcess | Processes):
    assert collected(executor, [], squares) == []


def test_jobs_run_at_the_same_time(tmp_path: Path):
    def meet(job: int, send: Send) -> None:
        (tmp_path / str(job)).touch()
        send(wait_until((tmp_path / str(1 - job)).exists))

    assert collected(Processes(2), [0, 1], meet) == [True, True]


def test_a_worker_has_one_thread_and_is_another_process():
    def describe(job: int, send: Send) -> None:
        send((os.getpid(), torch.get_num_threads(), torch.ones(3) * job))

    pids = set()
    for pid, threads, tensor in collected(Processes(2), [1, 1, 1], describe):
        pids.add(pid)
        assert threads == 1
        assert torch.equal(tensor, torch.ones(3))
    assert os.getpid() not in pids
    assert all(is_gone(pid) for pid in pids)


def test_an_exception_arrives_with_its_traceback():
    pids: list[int] = []

    def fail(job: int, send: Send) -> None:
        send(os.getpid())
        if job == 1:
            raise KeyError("a planted mistake")
        time.sleep(60)

    with pytest.raises(RuntimeError, match="worker process failed") as caught:
        Processes(2).run([0, 1], fail, pids.append)
    assert "in fail" in str(caught.value)
    assert "KeyError: 'a planted mistake'" in str(caught.value)
    assert all(is_gone(pid) for pid in pids)


@pytest.mark.parametrize("executor", [InProcess(), Processes(2)])
def test_a_usage_error_stays_one(executor: InProcess | Processes):
    def refuse(job: int, send: Send) -> None:
        raise UsageError("the first problem", "the second")

    with pytest.raises(UsageError) as caught:
        collected(executor, [0], refuse)
    assert caught.value.problems == ("the first problem", "the second")


def test_a_killed_worker_is_a_matter_of_memory():
    def die(job: int, send: Send) -> None:
        send(job)
        if job == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    received: list[int] = []
    with pytest.raises(UsageError, match=r"exit code -9.*memory.*--workers 1"):
        Processes(1).run(range(5), die, received.append)
    assert received == [0, 1, 2, 3]


def test_ctrl_c_ends_the_workers():
    pids: list[int] = []

    def sleep(job: int, send: Send) -> None:
        send(os.getpid())
        time.sleep(60)

    def receive(pid: int) -> None:
        pids.append(pid)
        if len(pids) == 2:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()

    with pytest.raises(KeyboardInterrupt):
        Processes(2).run([0, 1], sleep, receive)
    assert len(pids) == 2
    assert all(is_gone(pid) for pid in pids)


def test_ctrl_c_at_the_terminal_reaches_only_the_parent():
    def interrupt(job: int, send: Send) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        send("still here")

    assert collected(Processes(1), [0], interrupt) == ["still here"]


ORPHANS = """
import os, sys, time
from normwise.stack import Processes

def work(job, send):
    send(os.getpid())
    while job == 0:  # the other one has nothing more to do
        time.sleep(0.05)
        send(None)

Processes(2).run([0, 1], work, lambda pid: pid and print(pid, flush=True))
"""


def test_no_worker_outlives_a_killed_parent():
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHANS], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert parent.stdout is not None
    pids = [int(parent.stdout.readline()) for _ in range(2)]
    assert not any(is_gone(pid) for pid in pids)
    parent.kill()
    parent.wait()
    try:
        assert wait_until(lambda: all(is_gone(pid) for pid in pids)), pids
    finally:
        for pid in pids:
            if not is_gone(pid):
                os.kill(pid, signal.SIGKILL)
        parent.stdout.close()
