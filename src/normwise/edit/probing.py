"""Run a network on an example, to tell whether it still does what it did."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normwise.trace import Call, undisturbed


@dataclass(frozen=True)
class Behaviour:
    """What a rewritten forward has to keep.

    Two forwards may agree in their outputs alone: an autograd.Function has a backward of its own,
    and what is computed under no_grad has none.

    Attributes:
        outputs: as `probe` finds them; bit for bit.
        gradients: of the parameters, in training and in evaluation mode; but for rounding, since
            sums may be taken in another order.
    """

    outputs: list[Tensor]
    gradients: list[Tensor]

    @classmethod
    def of(cls, network: nn.Module, example: Any) -> "Behaviour":
        """Find out, leaving the network as it was."""
        gradients = [g for mode in (True, False) for g in _gradients(network, mode, example)]
        return cls(probe(network, example), gradients)

    def difference(self, other: "Behaviour") -> str | None:
        """Say what keeps a forward from being its traced copy, or None where nothing does."""
        if not same(self.outputs, other.outputs):
            return "it depends on more than its inputs and the traced copy differs"
        if not _alike(self.gradients, other.gradients):
            return (
                "its gradient is not that of its operations, since it uses an autograd.Function "
                "or no_grad"
            )
        return None


def probe(network: nn.Module, example: Any, modes: Sequence[bool] = (True, False)) -> list[Tensor]:
    """Return what a network computes in these modes, on all and on half of the example.

    A network that takes no batch of another size is run on all of it alone.
    """
    whole = Call.of(example)
    half = whole.resized(lambda tensor: tensor[: max(2, len(tensor) // 2)])
    found: list[Tensor] = []
    for training in modes:
        found += _outputs(network, training, whole)
        with suppress(Exception):
            found += _outputs(network, training, half)
    return found


def _outputs(network: nn.Module, training: bool, call: Call) -> list[Tensor]:
    with undisturbed(network), torch.no_grad(), slow_path():
        torch.manual_seed(0)
        return [leaf for leaf in call.outputs(network.train(training)) if isinstance(leaf, Tensor)]


def same(before: list[Tensor], after: list[Tensor]) -> bool:
    """Whether two probes are the same, bit for bit."""
    return len(before) == len(after) and all(map(_equal, before, after))


def _gradients(network: nn.Module, training: bool, example: Any) -> list[Tensor]:
    """Return the gradients of a sum of the outputs; none where torch has none to give."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with undisturbed(network), torch.enable_grad(), slow_path(), suppress(RuntimeError):
        torch.manual_seed(0)
        outputs = Call.of(example).outputs(network.train(training))
        terms = [_weighed(leaf) for leaf in outputs if _is_learnt(leaf)]
        if terms:
            found = torch.autograd.grad(terms, trained, allow_unused=True)
            return [torch.zeros(()) if gradient is None else gradient for gradient in found]
    return []


def _is_learnt(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.requires_grad


def _weighed(output: Tensor) -> Tensor:
    """Return a sum in which no two values count the same, so that none hides another's gradient."""
    values = (torch.view_as_real(output) if output.is_complex() else output).flatten()
    return (values * torch.arange(1, len(values) + 1, device=values.device).cos()).sum()


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


def _alike(before: Sequence[Tensor], after: Sequence[Tensor]) -> bool:
    if [gradient.shape for gradient in before] != [gradient.shape for gradient in after]:
        return False
    largest = max((float(gradient.norm()) for gradient in before), default=0.0)
    return all(_near(a, b, largest) for a, b in zip(before, after, strict=True))


def _near(a: Tensor, b: Tensor, largest: float) -> bool:
    """Compare two gradients; some are nothing but rounding, as of a bias before batch norm."""
    eps, difference = torch.finfo(a.dtype).eps, float((a - b).norm())
    if not math.isfinite(difference):
        return torch.equal(a.isfinite(), b.isfinite())
    return difference <= eps**0.5 * float(a.norm()) + 100 * eps * largest


@contextmanager
def slow_path() -> Iterator[None]:
    """Keep nn.TransformerEncoderLayer from its fused kernel, which rounds in another way."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
