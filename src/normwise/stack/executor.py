"""Where stacks are trained: in this process, or in several.

An executor has one method, `run`, which takes jobs, the work to do on each, and who receives what
the work sends. Another engine (many machines, say) is another class with that method.
"""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol, TypeVar

import torch

from normwise.errors import UsageError

_PATIENCE = 1.0  # seconds that a worker waits before it looks whether its parent is still there

Job = TypeVar("Job")
Message = TypeVar("Message")

Receive = Callable[[Message], None]
Work = Callable[[Job, Receive[Message]], None]


class Executor(Protocol):
    """Does the work of all jobs.

    Example:
        >>> def train(job, send):
        ...     send(job * job)
        >>> executor: Executor = InProcess()
        >>> executor.run([1, 2, 3], train, print)
        1
        4
        9
    """

    def run(self, jobs: Sequence[Job], work: Work[Job, Message], receive: Receive[Message]) -> None:
        """Do the work of every job, and call `receive` here with everything that it sends."""
        ...


class InProcess:
    """One job after another, here.

    Example:
        >>> found = []
        >>> InProcess().run(["a", "b"], lambda job, send: send(job.upper()), found.append)
        >>> found
        ['A', 'B']
    """

    def run(self, jobs: Sequence[Job], work: Work[Job, Message], receive: Receive[Message]) -> None:
        """Do the work of every job, and call `receive` with everything that it sends."""
        for job in jobs:
            work(job, receive)


class Processes:
    """Several processes on this machine, one job at a time in each, with one thread.

    They are forks, so the work may be any function, and networks need not be pickled.

    Args:
        workers: how many processes.

    Example:
        >>> found = []
        >>> if Processes.available():
        ...     Processes(2).run([1, 2, 3], lambda job, send: send(job * job), found.append)
        >>> sorted(found)
        [1, 4, 9]
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    @staticmethod
    def available() -> bool:
        """Tell whether this system can fork: on macOS its libraries do not survive that."""
        return sys.platform == "linux"

    def run(self, jobs: Sequence[Job], work: Work[Job, Message], receive: Receive[Message]) -> None:
        """Do the work of every job, and call `receive` here with everything that it sends.

        Raises:
            UsageError: the work raised it, or a process was killed, most likely for want of memory.
            RuntimeError: the work raised another exception.
        """
        waiting = list(jobs)
        crew = [_Worker(work) for _ in range(min(self._workers, len(waiting)))]
        try:
            for worker in crew:
                worker.send(waiting.pop(0))
            busy = list(crew)
            while busy:
                for worker in _ready(busy):
                    kind, content = worker.receive()
                    if kind == "message":
                        receive(content)  # type: ignore[arg-type]
                    elif kind == "refused":
                        raise UsageError(*content)  # type: ignore[misc]
                    elif kind == "raised":
                        raise RuntimeError(f"a worker process failed:\n{content}")
                    elif waiting:
                        worker.send(waiting.pop(0))
                    else:
                        busy.remove(worker)
        finally:
            for worker in crew:
                worker.stop()


def _ready(workers: Sequence["_Worker"]) -> list["_Worker"]:
    ready = wait([worker.pipe for worker in workers])
    return [worker for worker in workers if worker.pipe in ready]


class _Worker:
    """A forked process and this side of its pipe."""

    def __init__(self, work: Work) -> None:
        context = multiprocessing.get_context("fork")
        self.pipe, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(
            target=_serve, args=(theirs, work, os.getpid()), daemon=True
        )
        self._process.start()
        theirs.close()

    def send(self, job: object) -> None:
        self.pipe.send(job)

    def receive(self) -> tuple[str, object]:
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise UsageError(
                f"a worker process was ended from outside (exit code {self._process.exitcode}): "
                "most likely the memory ran out. Use fewer workers or smaller stacks "
                "(--workers 1, --stack 4); finished runs are kept"
            ) from None

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _serve(pipe: Connection, work: Work, parent: int) -> None:
    """Do jobs until killed; Ctrl-C is the parent's business."""

    def leave_if_orphaned() -> None:
        """A parent that was killed outright could not stop us, and its pipe stays open in forks."""
        if os.getppid() != parent:
            os._exit(1)

    def send(message: object) -> None:
        leave_if_orphaned()
        pipe.send(("message", message))

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    while True:
        try:
            while not pipe.poll(_PATIENCE):
                leave_if_orphaned()
            work(pipe.recv(), send)
            pipe.send(("done", None))
        except (EOFError, BrokenPipeError):
            os._exit(1)
        except UsageError as error:
            pipe.send(("refused", error.problems))
            os._exit(1)
        except BaseException:
            pipe.send(("raised", traceback.format_exc()))
            os._exit(1)
