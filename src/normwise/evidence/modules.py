"""What each module puts out, takes in and sends back, seen by hooks."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from normwise.evidence.guard import Guard
from normwise.evidence.hook import Hook
from normwise.evidence.module import Activation, Module
from normwise.evidence.norms import NormMeter
from normwise.evidence.private import in_backward, unseen
from normwise.evidence.series import SeriesMeter
from normwise.evidence.tensors import has_shape, is_measurable
from normwise.evidence.units import Batch, Units, UnitsMeter
from normwise.trace.functions import DROPOUT_TYPES

CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,
    nn.GroupNorm,
    nn.LocalResponseNorm,
)
FEATURES_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.RNNBase)
STATEFUL_NORMS = (nn.modules.batchnorm._NormBase,)
_NOTHING_NEW = (nn.Flatten, nn.Unflatten, nn.Identity, *DROPOUT_TYPES)


class Measuring(Enum):
    """What kind of pass is measured."""

    TRAINING = auto()
    EVALUATION = auto()


@dataclass(slots=True)
class Frame:
    """A module whose forward is running."""

    path: str
    module: nn.Module
    calls_others: bool = False
    activations: int = 0
    measured: Tensor | None = None  # an activation's output, which need not be measured again


class Listener(Protocol):
    """Is told of passes: calls of a module from outside all modules."""

    def pass_begins(self, path: str, module: nn.Module, batch: Tensor | None) -> None:
        """Called before the forward; may attach hooks and begin to measure."""
        ...

    def pass_ends(self, path: str, module: nn.Module, output: Any) -> None:
        """Called after the forward; `output` is None where it raised."""
        ...

    def recomputes(self, path: str) -> None:
        """Called when a module runs again during a backward pass."""
        ...

    def wakes(self) -> None:
        """Called before another pass than those that one can sleep through."""
        ...


class ModulesMeter:
    """Hooks modules, measures what passes, and unhooks them again.

    The modules through which the user's program enters are its *entries*: mostly the network
    itself, but a program may call its parts. They stay hooked; the others only while measuring.

    Args:
        modules: by path.
        listener: is told of passes.
        guard: hooks must not raise.
    """

    def __init__(self, modules: dict[str, nn.Module], listener: Listener, guard: Guard) -> None:
        self._modules = modules
        self._listener = listener
        self.step = 0
        self.thorough = True  # else calls are counted, and no values looked at
        self.frames: list[Frame] = []
        self.measuring: Measuring | None = None
        self._entries: dict[str, list[Any]] = {}
        self._hooked: dict[str, list[Any]] = {}
        self._guard = guard
        self._leaving, self._dozing = Hook(guard(self._leave)), Hook(guard(self._doze))
        self._hooks = {path: Hook(guard(self._enter(path))) for path in modules}
        self._stateful = [p for p, m in modules.items() if isinstance(m, STATEFUL_NORMS)]
        self._channels_first = False
        self._newest: tuple[Tensor | None, Batch | None] = None, None  # the last output measured
        self._calls: Counter[str] = Counter()
        self._train_calls: Counter[str] = Counter()
        self._recomputed: Counter[str] = Counter()
        self._in_pass: Counter[str] = Counter()
        self._most: Counter[str] = Counter()
        self._outputs: dict[str, UnitsMeter] = {}
        self._inputs: dict[str, UnitsMeter] = {}
        self._eval_inputs: dict[str, UnitsMeter] = {}
        self._gradients: dict[str, SeriesMeter] = {}
        self._activations: dict[str, tuple[str, str]] = {}
        self._before = {path: _buffers(modules[path]) for path in self._stateful}
        self._norms = {path: NormMeter(modules[path]) for path in self._stateful}

    # --- hooks -------------------------------------------------------------------------------

    def attach(self, measuring: Measuring | None) -> None:
        """Hook the modules that are measured; all of them if it is not known yet which those are.

        Args:
            measuring: what is measured; in evaluation only norms that keep statistics.
        """
        self.measuring = measuring
        for path in self._stateful if measuring is Measuring.EVALUATION else self._modules:
            if path not in self._hooked and path not in self._entries:
                self._hooked[path] = self._hook(path)

    def join(self, module: nn.Module, args: Any) -> None:
        """Note a call that began before there were hooks."""
        for path, each in self._modules.items():
            if each is module:
                self._hooks[path](module, args, {})

    def pause(self) -> None:
        """Measure no more, but keep the hooks, for a step to come that is measured too."""
        self.measuring, self._newest = None, (None, None)

    def detach(self) -> None:
        """Remove all hooks but those of entries."""
        self.measuring = None
        _remove(self._hooked)

    def detach_entries(self) -> None:
        """Remove the entries' hooks too."""
        _remove(self._entries)
        self.frames.clear()

    def sleep(self) -> None:
        """Hook entries only to be woken by passes in evaluation mode or without gradients."""
        self.detach()
        for path, handles in self._entries.items():
            _remove({path: handles})
            nap = self._modules[path].register_forward_pre_hook(self._dozing)
            self._entries[path] = [nap]

    def wake(self) -> None:
        """Hook entries as before."""
        for path, handles in self._entries.items():
            _remove({path: handles})
            self._entries[path] = self._hook(path)

    def _doze(self, module: nn.Module, args: Any) -> None:
        if not (module.training and torch.is_grad_enabled()) and not in_backward():
            self._listener.wakes()
            self.join(module, args)

    def _hook(self, path: str) -> list[Any]:
        module = self._modules[path]
        return [
            module.register_forward_pre_hook(self._hooks[path], with_kwargs=True),
            # Always called: a forward may raise, and another catch it.
            module.register_forward_hook(self._leaving, always_call=True),
        ]

    def _enter(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
            if in_backward():
                self._recomputed[path] += self.measuring is Measuring.TRAINING
                self._listener.recomputes(path)
                return
            with unseen():
                if not self.frames:
                    self._begin_pass(path, module, args, kwargs)
                self.frames.append(Frame(path, module))
                if self.measuring is not None:
                    self._note_call(path, module, args)

        return enter

    def _begin_pass(self, path: str, module: nn.Module, args: Any, kwargs: Any) -> None:
        if path not in self._entries:
            self._entries[path] = self._hooked.pop(path)
        batch = next((v for v in (*args, *kwargs.values()) if has_shape(v)), None)
        self._listener.pass_begins(path, module, batch)

    def _note_call(self, path: str, module: nn.Module, args: Any) -> None:
        stateful = self.thorough and isinstance(module, STATEFUL_NORMS) and is_measurable(args)
        if self.measuring is Measuring.EVALUATION:
            if stateful and not module.training:
                batch = self._take(self._eval_inputs, path, args[0], None)
                self._norms[path].evaluate(self.step, batch)
            return
        self._calls[path] += 1
        self._in_pass[path] += 1
        self._train_calls[path] += module.training
        if len(self.frames) > 1:
            self.frames[-2].calls_others = True
        if stateful and module.training:
            output, batch = self._newest
            batch = self._take(self._inputs, path, args[0], batch if output is args[0] else None)
            first = self._in_pass[path] == 1
            self._norms[path].train(self.step, args[0].detach(), batch, first=first)

    def _leave(self, module: nn.Module, _args: Any, output: Any) -> None:
        if in_backward() or not self.frames:
            return
        frame = self.frames.pop()
        while frame.module is not module and self.frames:  # hooks were removed within a pass
            frame = self.frames.pop()
        with unseen():
            if self.thorough and self.measuring is Measuring.TRAINING:
                self._note_output(frame, output)
            if not self.frames:
                self._most |= self._in_pass
                self._in_pass.clear()
                self._listener.pass_ends(frame.path, module, output)

    def _note_output(self, frame: Frame, output: Any) -> None:
        if isinstance(frame.module, CHANNELS_FIRST):
            self._channels_first = True
        elif isinstance(frame.module, FEATURES_LAST):
            self._channels_first = False
        # Recurrent layers and attention also return states and weights.
        outputs = output if isinstance(output, tuple | list) else (output,)
        nothing_new = frame.calls_others or isinstance(frame.module, _NOTHING_NEW)
        if nothing_new or not is_measurable(outputs):
            return
        if frame.measured is not outputs[0]:
            self._measure(frame.path, None, outputs[0])
        if outputs[0].requires_grad:
            self._follow(frame.path, outputs[0])

    # --- measurements ------------------------------------------------------------------------

    def activated(self, name: str, output: Any) -> None:
        """Measure the output of an activation that a module's forward has just called."""
        if not self.thorough or self.measuring is not Measuring.TRAINING or not self.frames:
            return
        if not is_measurable((output,)):
            return
        frame = self.frames[-1]
        name = "relu6" if isinstance(frame.module, nn.ReLU6) else name  # which calls hardtanh
        frame.activations += 1
        path = frame.path
        if frame.module._modules or frame.activations > 1:
            path += f":{name}" + (f".{frame.activations}" if frame.activations > 1 else "")
        else:
            frame.measured = output
        self._activations[path] = frame.path, name
        self._measure(path, name, output)

    def _measure(self, path: str, activation: str | None, output: Tensor) -> None:
        meter = self._outputs.get(path)
        if meter is None:
            meter = self._outputs[path] = UnitsMeter(activation)
        axis = 1 if self._channels_first and output.ndim > 2 else -1
        batch = meter.add(output.detach(), axis)
        self._newest = (output, batch) if axis == 1 or output.ndim == 2 else (None, None)

    def _take(
        self, meters: dict[str, UnitsMeter], path: str, values: Tensor, known: Batch | None
    ) -> Batch | None:
        meter = meters.get(path)
        if meter is None:
            meter = meters[path] = UnitsMeter()
        return meter.add(values.detach(), 1, known)

    def _follow(self, path: str, output: Tensor) -> None:
        meter = self._gradients.get(path) or self._gradients.setdefault(path, SeriesMeter())
        step = self.step

        # On the tensor, since hooks on modules' backward forbid in-place activations.
        def receive(gradient: Tensor) -> None:
            meter.add(step, torch.linalg.vector_norm(gradient.detach(), dtype=torch.float32))

        output.register_hook(self._guard(receive))

    # --- what came of it ---------------------------------------------------------------------

    def results(self) -> dict[str, Module]:
        """Return what is known of every module, by path."""
        return {path: self._module(path, module) for path, module in self._modules.items()}

    def activations(self) -> dict[str, Activation]:
        """Return what is known of every activation, by path, in order of first use."""
        found = {}
        for path, (module, name) in self._activations.items():
            units = self._outputs[path].result()
            if units is not None:
                found[path] = Activation(path, module, name, units)
        return found

    def _module(self, path: str, module: nn.Module) -> Module:
        gradient = self._gradients.get(path)
        return Module(
            path,
            module,
            self._calls[path],
            self._train_calls[path],
            self._recomputed[path],
            self._most[path],
            _result(self._outputs, path),
            _result(self._inputs, path),
            _result(self._eval_inputs, path),
            gradient.column() if gradient else None,
            self._before.get(path),
            self._norms[path].result() if path in self._norms else None,
        )


def _remove(handles: dict[str, list[Any]]) -> None:
    for each in handles.values():
        for handle in each:
            handle.remove()
    handles.clear()


def _result(meters: dict[str, UnitsMeter], path: str) -> Units | None:
    return meters[path].result() if path in meters else None


def _buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: buffer.detach().clone() for name, buffer in module.named_buffers(recurse=False)}
