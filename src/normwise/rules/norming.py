"""What several rules ask about batch norms."""

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from normwise.evidence import Evidence, Module


def batch_norms(evidence: Evidence) -> dict[str, Module]:
    """Return the batch norms, by path."""
    return {p: m for p, m in evidence.modules.items() if isinstance(m.module, _BatchNorm)}


def trained_batch_norms(evidence: Evidence) -> dict[str, Module]:
    """Return the batch norms that used the statistics of their batches in training, by path."""
    return {p: m for p, m in batch_norms(evidence).items() if m.train_calls and m.input}


def keeps_statistics(norm: Module) -> bool:
    """Whether a norm follows its input by running statistics, which it uses in evaluation."""
    return norm.module.running_mean is not None and momentum_of(norm) != 0


def momentum_of(norm: Module) -> float | None:
    """Return the share of each batch in a norm's running statistics; None for a plain average."""
    assert isinstance(norm.module, _BatchNorm)
    return norm.module.momentum


def batches_tracked(norm: Module) -> int:
    """Return how many batches a norm's running statistics hold."""
    tracked = norm.module.num_batches_tracked
    return int(tracked) if isinstance(tracked, Tensor) else 0


def values_per_batch(norm: Module) -> float:
    """Return how many values of each channel a norm averages over in training, on average."""
    assert norm.input is not None
    return norm.input.count / norm.input.batches


def lies_within(path: str, entry: str) -> bool:
    """Whether a module is another one or belongs to it."""
    return not entry or path == entry or path.startswith(f"{entry}.")
