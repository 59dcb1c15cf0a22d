"""`nw.watch`: what goes wrong in a training, judged while it runs."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pandas as pd
from torch import nn
from torch.optim import Optimizer

from normwise.errors import Problems
from normwise.evidence import Evidence, Observer, Schedule
from normwise.rules import curves
from normwise.rules.engine import diagnose
from normwise.rules.finding import Findings
from normwise.rules.html import write_page
from normwise.rules.registry import all_rules
from normwise.rules.selection import Selection, read_selection

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Networks = nn.Module | Mapping[str, nn.Module]


class Watch:
    """A training that is being watched; made by `watch`, used in a `with` statement.

    Example:
        >>> import torch
        >>> net = nn.Linear(3, 1)
        >>> with watch(net) as watching:
        ...     _ = net(torch.randn(8, 3))
        >>> watching.evidence().level.name
        'FORWARD'
    """

    def __init__(self, observer: Observer, selection: Selection, networks: Sequence[str]) -> None:
        self._observer = observer
        self._networks = networks
        self._selection = selection

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._observer.attach()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching; no hook stays behind, whatever was raised."""
        self._observer.detach()

    def gradients_are_ready(self, optimizer: Optimizer) -> None:
        """Tell that an optimizer is about to use its gradients.

        Only for loops that make them inside the optimizer's step, in a closure.
        """
        self._observer.gradients_are_ready(optimizer)

    def evidence(self) -> Evidence:
        """Return what is known by now, during the training or after it."""
        return self._observer.evidence()

    def frame(self) -> pd.DataFrame:
        """Return a row per measured number: step, what it is, where, and its value."""
        return curves.frame(self.evidence())

    def plot(self, path: str) -> "Figure":
        """Return a matplotlib figure of a module: gradients and updates over time, and its outputs.

        Args:
            path: of the module in the network, such as `encoder.2`.

        Raises:
            UsageError: there is no such module.
        """
        return curves.plot(self.evidence(), path)

    def to_html(self, path: str | os.PathLike[str], *, title: str = "A training") -> Path:
        """Write findings, loss, distributions, gradients and updates as an HTML page.

        Args:
            path: of the page, which needs no network.
            title: at its top.

        Raises:
            UsageError: the file cannot be written.

        Example:
            >>> import torch
            >>> net = nn.Linear(3, 1)
            >>> with watch(net) as watching:
            ...     net(torch.randn(8, 3)).mean().backward()
            >>> watching.to_html("watch.html").name
            'watch.html'
        """
        evidence = self.evidence()
        findings = diagnose(evidence, self._selection)
        return write_page(findings, [(self._networks, evidence)], path, title=title)

    def findings(self) -> Findings:
        """Return what is wrong by what is known by now, the worst first."""
        return diagnose(self.evidence(), self._selection)


def watch(
    model: Networks,
    optimizer: Optimizer | Iterable[Optimizer] | None = None,
    *,
    budget: float = 0.03,
    every: int | None = None,
    select: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] = (),
    baseline: str | os.PathLike[str] | None = None,
) -> Watch:
    """Watch a training, whatever its loop looks like, and say what goes wrong.

    Args:
        model: the network, or several by name, as in an adversarial training.
        optimizer: one or several; those that are not given are found when they step.
        budget: share of the time that measuring may take, beyond a tenth of a second; it decides
            how many steps are measured.
        every: measure every n-th step, whatever that costs; values within networks at the first 16
            of these, and at every second of the later ones.
        select: codes of rules, or beginnings of codes (`NRM`), in a list or joined by commas; all
            by default.
        ignore: likewise; `CODE@PATTERN: REASON` ignores a rule at some places.
        baseline: a file of known findings, see `write_baseline`.

    Returns:
        A context; ask it for `findings()`.

    Raises:
        UsageError: an option makes no sense.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        >>> optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        >>> with watch(net, optimizer) as watching:
        ...     for _ in range(20):  # no zero_grad
        ...         net(torch.randn(32, 4)).square().mean().backward()
        ...         optimizer.step()
        >>> [finding.code for finding in watching.findings() if finding.level == "error"]
        ['OPT103']
    """
    problems = Problems()
    problems.add(*schedule_problems(budget, every))
    if not isinstance(model, nn.Module) and not _is_named(model):
        problems.add(
            f"model is a {type(model).__name__}: pass an nn.Module, or a dict of several by name"
        )
    optimizers = [optimizer] if isinstance(optimizer, Optimizer) else list(optimizer or ())
    for each in optimizers:
        if not isinstance(each, Optimizer):
            problems.add(f"optimizer is a {type(each).__name__}: pass a torch.optim.Optimizer")
    selection = Selection(())
    with problems.collect():
        selection = read_selection(all_rules(), select, ignore, baseline)
    problems.raise_if_any()
    networks = {"": model} if isinstance(model, nn.Module) else dict(model)
    observer = Observer(networks, optimizers, Schedule(budget, every))
    return Watch(observer, selection, list(networks))


def schedule_problems(budget: float, every: int | None) -> Iterator[str]:
    """Yield what is wrong with how often to measure."""
    if not 0 < budget <= 1:
        yield f"budget={budget}: a share of the time lies between 0 and 1, such as 0.03"
    if every is not None and every < 1:
        yield f"every={every}: measure every n-th step, n at least 1"


def _is_named(model: object) -> bool:
    return isinstance(model, Mapping) and all(isinstance(m, nn.Module) for m in model.values())
