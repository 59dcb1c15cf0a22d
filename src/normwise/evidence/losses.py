"""What goes into the losses of `torch.nn.functional`, and what comes out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.evidence.series import Series, SeriesMeter

CLASSIFYING = frozenset({"cross_entropy", "nll_loss"})
_OTHERS = (
    "binary_cross_entropy binary_cross_entropy_with_logits mse_loss l1_loss smooth_l1_loss "
    "huber_loss kl_div poisson_nll_loss gaussian_nll_loss soft_margin_loss multi_margin_loss "
    "multilabel_margin_loss multilabel_soft_margin_loss"
)
LOSSES = {getattr(F, name): name for name in (*CLASSIFYING, *_OTHERS.split())}
"""Losses of an input and a target, by function."""

_MOST_CLASSES = 4096  # of which the targets are counted
Key = tuple[str, str | None, str, bool]

_DETAIL = 0.25  # of the calls, in which the input and target are looked at too
_GOLDEN = (5**0.5 - 1) / 2  # spreads these evenly over epochs of any length
_SAMPLED = 4096  # values of a large target from which its moments are taken


@dataclass(frozen=True, eq=False)
class Loss:
    """Calls of one loss function at one place.

    Attributes:
        name: torch's name of the function.
        module: path of the module whose forward calls it; None outside all of them.
        place: `file.py:12`, the user's line.
        training: whether it was called in training, or around passes in evaluation mode.
        node: of its last call in the graph; None where it is not part of it.
        input_shape: of the last call.
        target_shape: likewise.
        target_is_index: whether targets are class indices rather than probabilities or values.
        options: its other arguments that are plain values.
        value: the mean loss of a call.
        input_low: the smallest value of the input; this and what follows in a quarter of the calls.
        input_high: the largest.
        row_low: the smallest sum over the classes, for cross_entropy and nll_loss; else empty.
        row_high: the largest.
        log_row_low: the smallest logsumexp over the classes: 0 for log-probabilities.
        log_row_high: the largest.
        target_mean: of targets that are values.
        target_var: likewise, biased.
        target_counts: how often each class index was a target; None unless targets are indices.
        distinct: how many classes a call's targets hold.

    Example:
        >>> from torch import nn
        >>> from normwise.evidence import probe
        >>> batch = torch.randn(32, 4), torch.randint(0, 3, (32,))
        >>> [loss] = probe(nn.Linear(4, 3), [batch], F.cross_entropy).losses
        >>> loss.name, loss.input_shape, int(loss.target_counts.sum())
        ('cross_entropy', (32, 3), 32)
    """

    name: str
    module: str | None
    place: str
    training: bool
    node: int | None
    input_shape: tuple[int, ...]
    target_shape: tuple[int, ...]
    target_is_index: bool
    options: dict[int | str, Any]
    value: Series
    input_low: Series
    input_high: Series
    row_low: Series
    row_high: Series
    log_row_low: Series
    log_row_high: Series
    target_mean: Series
    target_var: Series
    target_counts: np.ndarray | None
    distinct: Series

    @property
    def calls(self) -> int:
        """How many were measured."""
        return self.value.count


class LossMeter:
    """Measures the calls at one place.

    Attributes:
        node: of the last call in the graph, or None.
    """

    def __init__(self, name: str, module: str | None, place: str, training: bool) -> None:
        self._name, self._module, self._place = name, module, place
        self._training = training
        self.node: int | None = None
        self._shapes: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        self._indexed = False
        self._options: dict[int | str, Any] = {}
        self._value, self._range, self._rows = SeriesMeter(), SeriesMeter(2), SeriesMeter(4)
        self._target, self._distinct = SeriesMeter(2), SeriesMeter()
        self._counts: Tensor | None = None
        self._calls = 0

    def add(
        self, step: int, node: int | None, args: Any, kwargs: dict[str, Any], result: Tensor
    ) -> None:
        """Measure a call; its tensors are without autograd."""
        given = dict(enumerate(args)) | kwargs
        taken, target = (given.pop(i, given.pop(n, None)) for i, n in _FIRST)
        if not isinstance(taken, Tensor) or not isinstance(target, Tensor) or not taken.numel():
            return
        taken, target = taken.detach(), target.detach()
        self.node = node if node is not None else self.node
        self._shapes = tuple(taken.shape), tuple(target.shape)
        self._options = {k: v for k, v in given.items() if not isinstance(v, Tensor)}
        self._value.add(step, result.detach().float().mean())
        self._indexed = self._name in CLASSIFYING and not target.is_floating_point()
        if self._calls * _GOLDEN % 1 < _DETAIL:
            self._measure_input(step, taken)
            if self._indexed:
                self._count(step, target, taken.shape[min(1, taken.ndim - 1)])
            else:
                self._measure_target(step, target)
        self._calls += 1

    def _measure_input(self, step: int, taken: Tensor) -> None:
        taken = taken.float()
        self._range.add(step, _range(taken))
        if self._name in CLASSIFYING:
            axis = min(1, taken.ndim - 1)
            sums, log_sums = _range(taken.sum(axis)), _range(taken.logsumexp(axis))
            self._rows.add(step, torch.cat([sums, log_sums]))

    def _count(self, step: int, target: Tensor, classes: int) -> None:
        if classes > _MOST_CLASSES or (self._counts is not None and len(self._counts) != classes):
            return
        flat = target.flatten()
        known = (flat >= 0) & (flat < classes)  # ignore_index is often -100
        counts = torch.zeros(classes, dtype=torch.float32, device=target.device)
        counts.scatter_add_(0, flat.clamp(0, classes - 1).long(), known.float())
        self._counts = counts if self._counts is None else self._counts + counts
        self._distinct.add(step, (counts > 0).sum())

    def _measure_target(self, step: int, target: Tensor) -> None:
        flat = target.flatten()
        flat = flat[:: max(1, len(flat) // _SAMPLED)].float()
        mean = flat.mean()
        self._target.add(step, torch.stack([mean, (flat - mean).square().mean()]))

    def result(self) -> Loss:
        """Return what was measured."""
        return Loss(
            self._name,
            self._module,
            self._place,
            self._training,
            self.node,
            *self._shapes,
            self._indexed,
            self._options,
            self._value.column(),
            self._range.column(0),
            self._range.column(1),
            self._rows.column(0),
            self._rows.column(1),
            self._rows.column(2),
            self._rows.column(3),
            self._target.column(0),
            self._target.column(1),
            None if self._counts is None else self._counts.cpu().double().numpy(),
            self._distinct.column(),
        )


class LossesMeter:
    """Tells the places of losses apart."""

    def __init__(self) -> None:
        self._meters: dict[Key, LossMeter] = {}

    def add(
        self, key: Key, step: int, node: int | None, args: Any, kwargs: Any, result: Tensor
    ) -> None:
        """Measure a call; the key is function, module, line, and whether in training."""
        meter = self._meters.get(key) or self._meters.setdefault(key, LossMeter(*key))
        meter.add(step, node, args, kwargs, result)

    def forget_nodes(self) -> None:
        """Note that another graph is made, to which the nodes noted so far do not belong."""
        for meter in self._meters.values():
            meter.node = None

    def result(self) -> tuple[Loss, ...]:
        """Return what was measured, by place, in order of first use."""
        return tuple(meter.result() for meter in self._meters.values())


_FIRST = ((0, "input"), (1, "target"))


def _range(values: Tensor) -> Tensor:
    return torch.stack(torch.aminmax(values))
