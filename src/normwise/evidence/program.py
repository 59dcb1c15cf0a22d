"""Finds and observes whatever networks a program trains, without being told of any."""

import sys
from collections.abc import Callable, Container
from dataclasses import dataclass
from itertools import chain, count
from types import FrameType, TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn.modules.module import (
    register_module_forward_pre_hook,
    register_module_parameter_registration_hook,
)
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

from normwise.evidence.evidence import Evidence
from normwise.evidence.guard import Guard
from normwise.evidence.observer import Observer
from normwise.evidence.origins import Origins
from normwise.evidence.place import is_users
from normwise.evidence.schedule import Schedule

_TRIES = 3  # steps of an optimizer after which networks of its parameters are looked for
_MOST = 8  # trainings in one program that are observed, since each keeps its networks alive


@dataclass(frozen=True, eq=False)
class Training:
    """Networks of a program that train together.

    Attributes:
        networks: by the name of the variable that held them; a single one by the empty string.
        evidence: what was measured.
        origins: where their modules were made.

    Example:
        >>> net = nn.Linear(3, 1)
        >>> with Program() as program:
        ...     _ = net(torch.ones(8, 3))
        >>> [training] = program.trainings()
        >>> training.evidence.level.name, training.place("weight")  # made before it was observed
        ('FORWARD', '')
    """

    networks: dict[str, nn.Module]
    evidence: Evidence
    origins: Origins

    def place(self, where: str) -> str:
        """Return `file.py:12` where a module or parameter was made, or nothing if not known."""
        for name, network in self.networks.items():
            if not name or where == name or where.startswith(f"{name}."):
                return self.origins.place(network, where[len(name) :].removeprefix("."))
        return ""


class Session:
    """The observer of one training, and which modules it knows."""

    def __init__(self, named: dict[str, nn.Module], schedule: Schedule) -> None:
        self.named = named
        self.networks = named if len(named) > 1 else dict(zip([""], named.values(), strict=True))
        self.modules = {module for network in named.values() for module in network.modules()}
        self.parameters = {p for network in named.values() for p in network.parameters()}
        self.observer = Observer(self.networks, schedule=schedule)


class Program:
    """Observes a program while it is open.

    A network counts as trained from its first pass with gradients on. Networks whose passes
    alternate train together; one that comes when the others have already been trained begins a
    training of its own, as in cross-validation. Networks are only looked for until all parameters
    that optimizers change are known, and again when a new network is built; in between the program
    runs free of hooks but those of its observers.

    Args:
        schedule: makes the schedule of a training.

    Example:
        >>> with Program() as program:
        ...     net = nn.Linear(3, 1)
        ...     optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        ...     net(torch.ones(8, 3)).mean().backward()
        ...     optimizer.step()
        >>> [training] = program.trainings()
        >>> training.evidence.steps, training.networks == {"": net}
        (1, True)
    """

    def __init__(self, schedule: Callable[[], Schedule] = Schedule) -> None:
        self._schedule = schedule
        self._origins = Origins()
        self._guard = Guard()
        self._sessions: list[Session] = []  # the last one is the one that goes on
        self._tries: WeakKeyDictionary[Optimizer, int] = WeakKeyDictionary()
        self._handles: list[Any] = []
        self._search: Any = None
        self._missed = False

    def __enter__(self) -> Self:
        """Begin to observe."""
        self._origins.__enter__()
        self._handles = [
            register_module_parameter_registration_hook(self._guard(self._builds)),
            register_optimizer_step_post_hook(self._guard(self._stepped)),
        ]
        self._look(on=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop observing; no hook stays behind."""
        self._look(on=False)
        for handle in self._handles:
            handle.remove()
        self._origins.__exit__(kind, error, trace)
        if self._sessions:
            self._sessions[-1].observer.detach()

    def trainings(self) -> list[Training]:
        """Return what is known by now, in the order in which the trainings began."""
        return [
            Training(each.networks, each.observer.evidence(), self._origins)
            for each in self._sessions
        ]

    def notes(self) -> tuple[str, ...]:
        """Say what of the program could not be observed."""
        notes = []
        if not self._sessions:
            notes.append("no network was trained: no module was called with gradients on")
        if self._missed:
            notes.append(f"only the first {_MOST} trainings of the program were observed")
        if self._guard.fault:
            notes.append(f"a fault of normwise's own ended the search: {self._guard.fault}")
        return tuple(notes)

    # --- the search --------------------------------------------------------------------------

    def _look(self, *, on: bool) -> None:
        if on and self._search is None:
            self._search = register_module_forward_pre_hook(self._guard(self._see))
        elif not on and self._search is not None:
            self._search.remove()
            self._search = None

    def _builds(self, _module: nn.Module, _name: str, _parameter: Any) -> None:
        self._look(on=True)

    def _stepped(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        tries = self._tries.get(optimizer, 0)
        if not self._sessions or tries == _TRIES:
            return
        held = {parameter for group in optimizer.param_groups for parameter in group["params"]}
        settled = held <= self._sessions[-1].parameters
        self._tries[optimizer] = _TRIES if settled else tries + 1
        self._look(on=self._tries[optimizer] < _TRIES)

    def _see(self, module: nn.Module, args: Any) -> None:
        if not torch.is_grad_enabled():
            return
        if self._sessions and module in self._sessions[-1].modules:
            return
        root = self._origins.root(module)
        if any(parameter.requires_grad for parameter in root.parameters()):
            self._found(root, (module, args))

    # --- trainings ---------------------------------------------------------------------------

    def _found(self, root: nn.Module, entered: tuple[nn.Module, Any]) -> None:
        """Let a network join the training that goes on, or begin one."""
        active = self._sessions[-1] if self._sessions else None
        joined = [each for each in self._sessions if root in each.named.values()]
        if active is not None:
            active.observer.detach()
            if not active.observer.steps:
                joined.append(active)
        self._sessions = [each for each in self._sessions if each not in joined]
        if len(self._sessions) == _MOST:
            self._missed = True
            return
        held = set(root.modules())  # of a network that has been wrapped, only the wrapper counts
        named = {n: net for each in joined for n, net in each.named.items() if net not in held}
        named[_name(root, named)] = root
        session = Session(named, self._schedule())
        self._sessions.append(session)
        session.observer.attach(entered)


def _name(network: nn.Module, taken: Container[str]) -> str:
    """Return the name of the outermost variable of the user's that holds a network."""
    name = type(network).__name__.lower()
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            held = (n for n, value in list(frame.f_locals.items()) if value is network)
            name = next((n for n in held if n != "self"), name)
        frame = frame.f_back
    free = chain([name], (f"{name}_{number}" for number in count(2)))
    return next(each for each in free if each not in taken)
