"""Gradients, sizes and updates of parameters, taken around an optimizer's step."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normwise.evidence.private import foreach_norm, foreach_sub_
from normwise.evidence.series import EMPTY, Series, SeriesMeter

_UPDATES_EVERY = 4  # measured steps


@dataclass(frozen=True, eq=False)
class Parameter:
    """What is known of one parameter.

    Norms are Euclidean. Gradients are those that the optimizer got: summed over micro-batches,
    unscaled and clipped.

    Attributes:
        name: as in `named_parameters()`, behind its network's name where there are several.
        parameter: itself: read it, do not change it.
        module: path of the module that owns it.
        optimizers: indices, in `Evidence.optimizers`, of those that hold it.
        gradient: norm of the gradient, per measured step.
        weight: norm of the parameter before the step.
        update: norm of the change that the step made; at every fourth measured step, as `weight`.
        ratio: `update` / `weight`.
        steps: measured steps of its optimizers.
        reached: those of them at which it had a gradient.
        has_gradient: whether it ever got one by the end of a measured step, in an optimizer or not;
            what was left there before watching began does not count.
        aliases: other names of the same parameter.

    Example:
        >>> from normwise.evidence import probe
        >>> net = nn.Linear(4, 3)
        >>> sgd = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> batch = torch.randn(32, 4), torch.randn(32, 3)
        >>> evidence = probe(net, [batch], nn.functional.mse_loss, sgd)
        >>> weight = evidence.parameters["weight"]
        >>> round(weight.update.last / weight.gradient.last, 4)
        0.1
    """

    name: str
    parameter: nn.Parameter
    module: str
    optimizers: tuple[int, ...] = ()
    gradient: Series = EMPTY
    weight: Series = EMPTY
    update: Series = EMPTY
    ratio: Series = EMPTY
    steps: int = 0
    reached: int = 0
    has_gradient: bool = False
    aliases: tuple[str, ...] = ()


class ParametersMeter:
    """Measures the parameters of some networks around optimizers' steps.

    Args:
        parameters: all that shall ever be measured.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        self._column = {id(p): column for column, p in enumerate(self._parameters)}
        width = len(self._parameters)
        self._gradients, self._weights, self._updates, self._ratios = (
            SeriesMeter(width) for _ in range(4)
        )
        self._steps = [0] * width
        self._with_gradient = [False] * width
        present = ((c, p.grad) for c, p in enumerate(self._parameters))
        self._left = {c: (g, g._version) for c, g in present if g is not None}
        self._measured: Counter[int] = Counter()  # steps, by an optimizer's first column
        self._before: tuple[list[int], list[Tensor]] = ([], [])

    def gradients(self, step: int, parameters: Iterable[Tensor]) -> list[int]:
        """Measure the gradients of those that have one, and return their columns."""
        columns = [self._column[id(p)] for p in parameters if id(p) in self._column]
        for column in columns:
            self._steps[column] += 1
        gradients = {column: self._parameters[column].grad for column in columns}
        found = {c: g for c, g in gradients.items() if g is not None and not g.is_sparse}
        if found:
            norms = torch.stack(foreach_norm(list(found.values())))
            self._gradients.add(step, norms, list(found))
        return list(found)

    def before(self, step: int, parameters: Iterable[Tensor]) -> None:
        """Measure gradients and sizes; to be followed by `after`."""
        columns = self.gradients(step, parameters)
        first = min(columns, default=-1)
        self._measured[first] += 1
        if self._measured[first] % _UPDATES_EVERY != 1:
            return  # gradients may break at any step, but how far weights move changes slowly
        self._before = columns, [self._parameters[c].detach().clone() for c in columns]

    def after(self, step: int) -> None:
        """Measure the changes since `before`."""
        columns, copies = self._before
        self._before = [], []
        if not columns:
            return
        weights = torch.stack(foreach_norm(copies))
        foreach_sub_(copies, [self._parameters[column].detach() for column in columns])
        updates = torch.stack(foreach_norm(copies))
        self._weights.add(step, weights, columns)
        self._updates.add(step, updates, columns)
        self._ratios.add(step, updates / weights, columns)

    def note_gradients(self) -> None:
        """Note which parameters have a gradient now."""
        for column, parameter in enumerate(self._parameters):
            gradient = parameter.grad
            old, version = self._left.get(column, (None, 0))
            if gradient is not None and (gradient is not old or gradient._version != version):
                self._with_gradient[column] = True
                self._left.pop(column, None)

    def result(
        self, names: Sequence[str], parameter: nn.Parameter, optimizers: tuple[int, ...]
    ) -> Parameter:
        """Return what is known of a parameter."""
        column = self._column[id(parameter)]
        gradient = self._gradients.column(column)
        return Parameter(
            names[0],
            parameter,
            names[0].rpartition(".")[0],
            optimizers,
            gradient,
            self._weights.column(column),
            self._updates.column(column),
            self._ratios.column(column),
            self._steps[column],
            gradient.count,
            self._with_gradient[column],
            tuple(names[1:]),
        )
