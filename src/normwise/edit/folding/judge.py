"""Run a network and what it was folded into on the same inputs, and compare."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import inf, isfinite, sqrt
from typing import Any

import torch
from torch import Tensor, fx, nn

from normwise.errors import UsageError
from normwise.references import explain
from normwise.trace import Call

# Rounding errors of a sum add up like a random walk, over its terms and over the layers. In half
# precision products are summed in float32, and only the results are rounded.
_ROUNDINGS = 16
_ROUNDINGS_OF_HALF = 2


@dataclass(frozen=True)
class Probe:
    """An input, and what the original makes of it.

    Attributes:
        call: the input.
        found: leaves of the original's output.
        wanted: the same computed in float64, where that is possible; else `found`.
        resized: its batch is of another size than the example's.
    """

    call: Call
    found: list[Any]
    wanted: list[Any]
    resized: bool


@dataclass(frozen=True)
class Verdict:
    """How a candidate compares with the original.

    Attributes:
        error: its largest relative error over the probes.
        bound: what that must not exceed.
        probes: how many it was run on.
        reason: what else is wrong, such as that it fails.
    """

    error: float
    bound: float
    probes: int
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether the candidate computes what the original does."""
        return not self.reason and self.error <= self.bound

    def __str__(self) -> str:
        """Say how far the candidate is off."""
        return self.reason or f"relative error {self.error:.1e}, allowed {self.bound:.1e}"


class Judge:
    """Compares candidates with a network.

    Attributes:
        output: what the network gives for the example.

    Args:
        network: the original, in evaluation mode.
        call: the example.

    Raises:
        UsageError: the network fails on the example.
    """

    def __init__(self, network: nn.Module, call: Call) -> None:
        self._network = network
        try:
            with torch.no_grad():
                self.output = call(network)
            found = run(network, call)
        except Exception as error:
            raise UsageError(
                f"the network fails on the example {call}: {explain(error)}. Give an example "
                "that it runs on"
            ) from error
        self._double = _double(network, call, found)
        self.reference = "its own dtype" if self._double is None else "float64"
        self.probes = [self._probe(call, found, resized=False)]
        self._add(_random_calls(call), resized=False)
        self._add(_resized_calls(call), resized=True)

    @cached_property
    def original_error(self) -> float:
        """The original's own largest relative error."""
        return max(_error(probe.found, probe.wanted) for probe in self.probes)

    def __call__(self, candidate: nn.Module) -> Verdict:
        """Compare a graph with the original."""
        return self.compare(partial(run, candidate), rounding(candidate))

    def compare(self, candidate: Callable[[Call], list[Any]], rounding: float) -> Verdict:
        """Compare anything that can be called with the original.

        Args:
            candidate: returns the leaves of its output; for inputs that it was not made for it may
                raise a `UsageError`.
            rounding: the relative error that its own arithmetic may make.
        """
        bound = max(rounding, 2 * self.original_error)
        error, count = 0.0, 0
        for probe in self.probes:
            try:
                found = candidate(probe.call)
            except Exception as failure:
                if probe.resized and isinstance(failure, UsageError):
                    continue
                return Verdict(inf, bound, count, f"it fails: {explain(failure)}")
            if list(map(_kind, found)) != list(map(_kind, probe.found)):
                return Verdict(inf, bound, count, "its outputs have other shapes or dtypes")
            error, count = max(error, _error(found, probe.wanted)), count + 1
        return Verdict(error, bound, count)

    def _add(self, calls: Sequence[Call], *, resized: bool) -> None:
        for call in calls:
            try:
                found = run(self._network, call)
            except Exception:  # the network's own limits, such as a batch that is fixed
                continue
            self.probes.append(self._probe(call, found, resized=resized))

    def _probe(self, call: Call, found: list[Any], *, resized: bool) -> Probe:
        if self._double is None:
            return Probe(call, found, found, resized)
        return Probe(call, found, run(self._double, _as_double(call)), resized)


def run(network: nn.Module, call: Call) -> list[Any]:
    """Return the leaves of a network's output, with the same random numbers every time."""
    with torch.no_grad():
        torch.manual_seed(0)
        return call.outputs(network)


def rounding(candidate: nn.Module) -> float:
    """Return the relative error that the arithmetic of a graph may make."""
    assert isinstance(candidate, fx.GraphModule)
    dtypes = {p.dtype for p in candidate.parameters() if p.is_floating_point()}
    epsilon = max(torch.finfo(dtype).eps for dtype in dtypes or {torch.float32})
    weighted = [
        n for n in candidate.graph.nodes if {i.op for i in n.all_input_nodes} >= {"get_attr"}
    ]
    roundings = _ROUNDINGS if epsilon < 1e-6 else _ROUNDINGS_OF_HALF
    return roundings * epsilon * sqrt(max(len(weighted), 1))


def _double(network: nn.Module, call: Call, found: list[Any]) -> nn.Module | None:
    """Return the network in float64, or None where that is not the same network."""
    try:
        double = copy.deepcopy(network).double()
        wanted = run(double, _as_double(call))
    except Exception:
        return None
    epsilon = max((torch.finfo(leaf.dtype).eps for leaf in found if _is_real(leaf)), default=0.0)
    return double if _error(found, wanted) <= sqrt(epsilon) else None


def _as_double(call: Call) -> Call:
    return call.replaced([t.double() if t.is_floating_point() else t for t in call.tensors])


def _random_calls(call: Call) -> list[Call]:
    random = torch.Generator().manual_seed(0)
    return [call.replaced([_like(tensor, random) for tensor in call.tensors]) for _ in range(2)]


def _like(tensor: Tensor, random: torch.Generator) -> Tensor:
    """Draw values with the mean and spread of a tensor's, or among them if they are no reals."""
    if not tensor.numel():
        return tensor
    if tensor.is_floating_point():
        known = tensor[tensor.isfinite()].double()
        spread = known.std(correction=0) if len(known) > 1 else 1.0
        mean = known.mean() if len(known) else 0.0
        values = torch.randn(tensor.shape, generator=random, dtype=torch.float64)
        return (values.to(tensor.device) * spread + mean).to(tensor.dtype)
    chosen = torch.randint(tensor.numel(), tensor.shape, generator=random).to(tensor.device)
    return tensor.flatten()[chosen]


def _resized_calls(call: Call) -> list[Call]:
    """Return the example with one sample, and with one more than it has."""
    if not call.size:
        return []
    return [call.resized(lambda t: t[:1]), call.resized(lambda t: torch.cat([t, t[:1]]))]


def _error(found: Sequence[Any], wanted: Sequence[Any]) -> float:
    """Return the largest relative error of any output."""
    if len(found) != len(wanted):
        return inf
    return max((_leaf_error(a, b) for a, b in zip(found, wanted, strict=True)), default=0.0)


def _leaf_error(found: Any, wanted: Any) -> float:
    if not isinstance(found, Tensor) or not isinstance(wanted, Tensor):
        return 0.0 if found is wanted or found == wanted else inf
    if found.shape != wanted.shape:
        return inf
    if not (found.is_floating_point() or found.is_complex()):
        return 0.0 if torch.equal(found, wanted) else inf
    wide = torch.complex128 if found.is_complex() else torch.float64
    found, wanted = found.to(wide), wanted.to(wide)
    finite = found.isfinite() & wanted.isfinite()
    odd = ~finite
    if not torch.equal(found[odd].nan_to_num(3.0), wanted[odd].nan_to_num(3.0)):
        return inf
    difference = float((found - wanted)[finite].abs().max()) if bool(finite.any()) else 0.0
    largest = float(wanted[finite].abs().max()) if difference else 1.0
    return difference / largest if largest else (inf if isfinite(difference) else difference)


def _kind(leaf: Any) -> Any:
    return (leaf.shape, leaf.dtype) if isinstance(leaf, Tensor) else leaf


def _is_real(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()
