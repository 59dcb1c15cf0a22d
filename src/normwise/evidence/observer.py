"""Attaches all meters to networks, runs them on the steps that are due, and detaches them."""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer as TorchOptimizer
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from normwise.evidence.batches import BatchesMeter
from normwise.evidence.broadcasts import COMBINING, BroadcastsMeter
from normwise.evidence.calls import Calls
from normwise.evidence.evidence import Evidence
from normwise.evidence.graph import Graph, GraphMeter
from normwise.evidence.guard import Guard
from normwise.evidence.level import Level
from normwise.evidence.losses import LOSSES, LossesMeter
from normwise.evidence.modules import Measuring, ModulesMeter
from normwise.evidence.networks import Networks
from normwise.evidence.optimizers import OptimizerMeter
from normwise.evidence.parameters import Parameter, ParametersMeter
from normwise.evidence.passes import PassesMeter
from normwise.evidence.place import caller
from normwise.evidence.private import CLAMPS, SHRINKERS, UNSCALERS
from normwise.evidence.schedule import Schedule
from normwise.evidence.series import SeriesMeter
from normwise.trace.functions import ACTIVATIONS

_EVALUATIONS = 16  # passes, of all kinds, for each measured pass in evaluation mode
_THOROUGH = 16  # windows, the first ones, in which values within networks are measured too ...
_THOROUGHLY_EVERY = 2  # ... and of the later ones every so many, since those change slowly
_LONGEST = 64  # passes in a window without a step of the optimizer that would close it


class Observer:
    """Watches networks train, from outside.

    Between measured steps there is a hook on each network and one on all optimizers, nothing else;
    where steps are so short that even these cost too much, it sleeps through some. A measured step
    is a *window*: from a training pass to the next step of the optimizer that stepped last before
    it, so that it spans all optimizers of an alternating training.

    Args:
        networks: by name; a single one may be named by the empty string.
        optimizers: known beforehand; others are found when they step.
        schedule: decides which steps are measured.

    Example:
        >>> net = nn.Linear(4, 3)
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> observer = Observer({"": net}, [optimizer], Schedule(every=1))
        >>> observer.attach()
        >>> net(torch.randn(8, 4)).sum().backward(); optimizer.step()
        >>> observer.detach()
        >>> round(observer.evidence().parameters["bias"].gradient.last, 4)  # three times eight ones
        13.8564
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        optimizers: Iterable[TorchOptimizer] = (),
        schedule: Schedule | None = None,
    ) -> None:
        self._networks = Networks(networks)
        self._schedule = schedule or Schedule()
        self._guard = Guard()
        self._modules = ModulesMeter(self._networks.modules(), self, self._guard)
        self._named = self._networks.parameters()
        self._parameters = ParametersMeter(parameter for parameter, _ in self._named)
        self._optimizers = [OptimizerMeter(optimizer) for optimizer in optimizers]
        self._passes: dict[str, PassesMeter] = {}
        self._batches: dict[str, BatchesMeter] = {}
        self._losses, self._broadcasts = LossesMeter(), BroadcastsMeter()
        self._objective = SeriesMeter()
        self._calls = Calls(self._handlers(), self._module_now, self._guard)
        self._names = {id(parameter): names[0] for parameter, names in self._named}
        self._graph: Graph | None = None
        self._spans_all = False
        self._level = Level.STRUCTURE
        self._windows = 0
        self._step = self._measured = self._passes_in_window = 0
        self._all_passes = self._evaluations_measured = 0
        self._evaluating = False
        self._open = self._sleeping = False
        self._left: list[Any] | None = None
        self._reached = False  # whether gradients have been, since the last step by hand
        self._reaching: list[Any] = []
        self._closer: TorchOptimizer | None = None
        self._last_stepped: TorchOptimizer | None = None
        self._told = 0.0  # seconds of the guard's that the schedule knows of
        self._handles: list[Any] = []

    # --- attach and detach -------------------------------------------------------------------

    def attach(self, entered: tuple[nn.Module, Any] | None = None) -> None:
        """Begin to watch.

        Args:
            entered: a module whose call has already begun, and the call's positional arguments.
        """
        self._sleeping = False
        self._modules.attach(None)  # all, until it is known through which the program enters
        self._handles = [
            register_optimizer_step_pre_hook(self._guard(self._before_step)),
            register_optimizer_step_post_hook(self._guard(self._after_step)),
        ]
        if entered is not None:
            self._modules.join(*entered)

    def detach(self) -> None:
        """Stop watching; nothing of it stays behind."""
        self._close()
        self._calls.switch(on=False)
        self._modules.detach()
        self._modules.detach_entries()
        for handle in (*self._handles, *self._reaching):
            handle.remove()
        self._handles.clear()
        self._reaching.clear()
        for meter in self._optimizers:
            meter.detach()

    @property
    def steps(self) -> int:
        """Optimizer steps so far."""
        return self._step

    # --- passes ------------------------------------------------------------------------------

    def pass_begins(self, path: str, module: nn.Module, batch: Tensor | None) -> None:
        """Note a pass, and begin to measure where a step that is due begins with it."""
        self._all_passes += 1
        if self._evaluating or self._networks.compiled:
            self._calls.switch(on=False)
            self._evaluating = False
        gradients, training = torch.is_grad_enabled(), module.training
        if path not in self._passes:
            self._passes[path] = PassesMeter(path)
        passes = self._passes[path]
        passes.add(training, gradients, self._step, batch)
        if gradients or (training and passes.checkpointed):
            self._training_pass_begins()
            if batch is not None and training:
                if path not in self._batches:
                    self._batches[path] = BatchesMeter(path)
                self._batches[path].add(batch, measured=self._open and self._modules.thorough)
        elif not self._open:
            self._rest()
            if not training and self._evaluation_is_due():
                self._evaluating = True
                self._modules.step, self._modules.thorough = self._step, True
                self._modules.attach(Measuring.EVALUATION)
                self._see_calls(before=True)

    def _rest(self) -> None:
        """Measure nothing, and stay hooked where the program may yet enter."""
        self._modules.detach()
        if self._level is Level.STRUCTURE:
            self._modules.attach(None)  # so far it has only evaluated, maybe another network

    def _evaluation_is_due(self) -> bool:
        due = self._evaluations_measured * _EVALUATIONS <= self._all_passes
        self._evaluations_measured += due
        return due

    def _see_calls(self, *, before: bool) -> None:
        """Begin to see function calls: before a pass, or after it where it is compiled."""
        if before != self._networks.compiled:
            self._calls.switch(on=True)

    def _training_pass_begins(self) -> None:
        self._level = max(self._level, Level.FORWARD)
        if not self._optimizers and self._is_over():
            self.end_step()  # a loop that updates the weights by hand
        self._passes_in_window += self._open
        if self._passes_in_window > _LONGEST:
            self._close()
            self._schedule.passed(self._own())
        self._schedule.begins()
        if not self._open and self._schedule.due(self._step):
            self._open_window()
        elif not self._open:
            self._modules.detach()

    def pass_ends(self, path: str, module: nn.Module, output: Any) -> None:
        """Note that a pass is over."""
        if self._modules.measuring is Measuring.EVALUATION:
            self._rest()
        if self._open or self._evaluating:
            self._see_calls(before=False)
        if torch.is_grad_enabled() and not module.training:
            self._passes[path].follow(output)

    def recomputes(self, path: str) -> None:
        """Note that a module runs again in a backward pass."""
        if path in self._passes:
            self._passes[path].recompute()

    # --- windows -----------------------------------------------------------------------------

    def _open_window(self) -> None:
        self._open, self._passes_in_window = True, 0
        self._left = self._versions()
        for meter in self._optimizers:
            meter.begin_window()
        self._closer = self._last_stepped
        self._modules.step = self._step
        self._modules.thorough = self._windows < _THOROUGH or self._windows % _THOROUGHLY_EVERY == 0
        self._windows += 1
        self._modules.attach(Measuring.TRAINING)
        if self._graph is None or self._graph_is_partial():
            self._calls.graph = GraphMeter(self._names)
            self._losses.forget_nodes()
            self._spans_all = self._closer is not None
        self._see_calls(before=True)

    def _graph_is_partial(self) -> bool:
        """Whether the graph is of a window that one of several optimizers closed, or may have."""
        return len(self._optimizers) > 1 and not self._spans_all

    def _close(self) -> None:
        if not self._open:
            return
        self._open = False
        self._calls.switch(on=False)
        self._modules.pause()
        self._parameters.note_gradients()
        if self._calls.graph is not None:
            self._graph, self._calls.graph = self._calls.graph.result(), None
        for meter in self._optimizers:
            meter.end_window()

    def end_step(self) -> None:
        """Note that a step is over, in a program that has no optimizer."""
        measured = self._open
        if measured:
            self._parameters.gradients(self._step, (parameter for parameter, _ in self._named))
            self._close()
            self._measured += 1
        self._step += 1
        self._schedule.stepped(measured=measured, own=self._own())
        self._reached = False
        if not self._reaching:
            leaves = (p for p, _ in self._named if p.requires_grad and p.is_leaf)
            note = self._guard(self._note_reached)
            self._reaching = [leaf.register_post_accumulate_grad_hook(note) for leaf in leaves]

    def _note_reached(self, _parameter: Tensor) -> None:
        self._reached = True

    def _is_over(self) -> bool:
        """Whether the weights have been updated since the last backward pass, as far as is seen."""
        return self._left != self._versions() if self._open else self._reached

    # --- optimizers --------------------------------------------------------------------------

    def gradients_are_ready(self, optimizer: TorchOptimizer) -> None:
        """Measure what an optimizer is about to use, where its step begins before that is there."""
        self._guard(self._measure_gradients)(optimizer)

    def _measure_gradients(self, optimizer: TorchOptimizer) -> None:
        if self._open:
            self._parameters.before(self._step, self._meter(optimizer).parameters())

    def _before_step(self, optimizer: TorchOptimizer, args: Any, kwargs: Any) -> None:
        self._calls.switch(on=False)
        if len(args) == 1 and not kwargs:  # with a closure the gradients are yet to come
            self._measure_gradients(optimizer)

    def _after_step(self, optimizer: TorchOptimizer, _args: Any, _kwargs: Any) -> None:
        if self._sleeping:
            self._meter(optimizer).steps += 1
            self._step += 1
            if self._schedule.slept(self._own()):
                self.wakes()
            return
        self._level = Level.TRAINING
        measured = self._open
        if measured:
            self._parameters.after(self._step)
        self._meter(optimizer).stepped()
        self._last_stepped = optimizer
        if measured and self._closer in (None, optimizer):
            self._close()
            self._measured += 1
        elif measured and self._passes:
            self._calls.switch(on=True)
        self._step += 1
        self._schedule.stepped(measured=measured, own=self._own())
        if not self._passes and not self._open and self._schedule.due(self._step):
            self._open = True  # passes cannot be seen, but gradients and updates can
        elif not self._open and not self._modules.frames and self._schedule.overdrawn:
            self._sleep()

    def _sleep(self) -> None:
        """Leave nothing but what counts steps and is woken by evaluation."""
        self._sleeping = True
        self._modules.sleep()
        for meter in self._optimizers:
            meter.detach()
        for batches in self._batches.values():
            batches.miss()

    def wakes(self) -> None:
        """Watch again."""
        self._sleeping = False
        self._modules.wake()
        for meter in self._optimizers:
            meter.follow()

    def _own(self) -> float:
        """Return the seconds in code of this package since it was last asked."""
        before, self._told = self._told, self._guard.seconds
        return self._told - before

    def _meter(self, optimizer: TorchOptimizer) -> OptimizerMeter:
        for meter in self._optimizers:
            if meter.optimizer is optimizer:
                return meter
        self._optimizers.append(OptimizerMeter(optimizer))
        return self._optimizers[-1]

    # --- function calls ----------------------------------------------------------------------

    def _handlers(self) -> dict[Any, Any]:
        return {
            **{function: partial(self._combined, name) for function, name in COMBINING.items()},
            **{function: partial(self._activated, name) for function, name in ACTIVATIONS.items()},
            **{function: partial(self._lost, name) for function, name in LOSSES.items()},
            **dict.fromkeys(SHRINKERS, self._shrunk),
            **dict.fromkeys(CLAMPS, partial(self._edited, "clip")),
            **dict.fromkeys(UNSCALERS, partial(self._edited, "unscale")),
            Tensor.backward: self._went_back,
        }

    def _activated(self, name: str, _args: Any, _kwargs: Any, result: Any) -> None:
        self._modules.activated(name, result)

    def _lost(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        node = None if self._calls.graph is None else self._calls.graph.last
        module = self._module_now()
        key = name, module, caller(), self._open
        self._losses.add(key, self._step, node, args, kwargs, result)

    def _combined(self, name: str, args: Any, _kwargs: Any, _result: Any) -> None:
        if len(args) == 2 and not self._modules.frames:
            self._broadcasts.add(name, *args)

    def _shrunk(self, args: Any, kwargs: Any, result: Any) -> None:
        if isinstance(args[-1], Tensor):  # plain numbers average accumulated gradients
            self._edited("clip", args, kwargs, result)

    def _edited(self, what: str, args: Any, _kwargs: Any, _result: Any) -> None:
        tensors = [args[0]] if isinstance(args[0], Tensor) else args[0]
        for meter in self._optimizers:
            if meter.holds_gradient(tensors):
                meter.edited(what)

    def _went_back(self, args: Any, _kwargs: Any, _result: Any) -> None:
        self._level = max(self._level, Level.BACKWARD)
        self._left = self._versions()
        self._objective.add(self._step, args[0].detach().float().mean())

    def _versions(self) -> list[Any]:
        """Return what changes with weights and gradients, in programs without an optimizer."""
        gradients = [(p, p.grad) for p, _ in self._named if not self._optimizers]
        return [(p._version, id(g), 0 if g is None else g._version) for p, g in gradients]

    def _module_now(self) -> str | None:
        return self._modules.frames[-1].path if self._modules.frames else None

    # --- what came of it ---------------------------------------------------------------------

    def evidence(self) -> Evidence:
        """Return what is known by now."""
        return Evidence(
            level=self._level,
            modules=self._modules.results(),
            activations=self._modules.activations(),
            parameters=self._parameter_results(),
            optimizers=tuple(m.result(i, self._names) for i, m in enumerate(self._optimizers)),
            losses=self._losses.result(),
            objective=self._objective.column(),
            broadcasts=self._broadcasts.result(),
            passes=tuple(p for meter in self._passes.values() for p in meter.result()),
            batches=tuple(filter(None, (meter.result() for meter in self._batches.values()))),
            graph=self._graph,
            steps=self._step,
            measured=self._measured,
            notes=self._all_notes(),
        )

    def _all_notes(self) -> tuple[str, ...]:
        fault = self._guard.fault
        notes = self._networks.notes()
        if self._step and not self._passes:
            notes.append(
                "no forward pass was seen: the network is called inside a compiled function, or "
                "another one is trained"
            )
        if fault:
            notes.append(
                f"a fault of normwise's own ended the measuring after step {self._step}: {fault}"
            )
        return tuple(notes)

    def _parameter_results(self) -> dict[str, Parameter]:
        found = {}
        for parameter, names in self._named:
            holders = tuple(
                index
                for index, meter in enumerate(self._optimizers)
                if any(parameter is held for held in meter.parameters())
            )
            found[names[0]] = self._parameters.result(names, parameter, holders)
        return found
