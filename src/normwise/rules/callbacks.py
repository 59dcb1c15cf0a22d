"""`watch` as a callback of trainers that own the training loop."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.optim import Optimizer

from normwise.errors import UsageError
from normwise.rules.finding import Findings
from normwise.rules.watch import Watch, watch

if TYPE_CHECKING:
    from normwise.rules.lightning import WatchCallback as LightningWatch
    from normwise.rules.transformers import WatchCallback as TransformersWatch


def lightning_callback(**options: Any) -> "LightningWatch":
    """Return a callback for Lightning's `Trainer`; needs the extra `lightning`.

    It watches each `fit` and tells its findings at the end, also after an exception. Its
    `watching.findings()` returns them.

    Args:
        **options: `budget`, `every`, `select`, `ignore` and `baseline`, as for `watch`.

    Raises:
        UsageError: Lightning is not installed, or an option makes no sense.

    Example:
        >>> callback = lightning_callback(select="LOS,OPT")
        >>> # lightning.Trainer(callbacks=[callback]).fit(module, loader)
    """
    try:
        from normwise.rules.lightning import WatchCallback
    except ImportError as error:
        raise _absent("lightning") from error
    return WatchCallback(_checked(options))


def trainer_callback(**options: Any) -> "TransformersWatch":
    """Return a callback for Transformers' `Trainer`; needs the extra `transformers`.

    It watches each `train` and tells its findings at the end. Its `watching.findings()` returns
    them, also while it trains and after a crash.

    Args:
        **options: `budget`, `every`, `select`, `ignore` and `baseline`, as for `watch`.

    Raises:
        UsageError: Transformers is not installed, or an option makes no sense.

    Example:
        >>> callback = trainer_callback(budget=0.01)
        >>> # transformers.Trainer(model, arguments, ..., callbacks=[callback]).train()
    """
    try:
        from normwise.rules.transformers import WatchCallback
    except ImportError as error:
        raise _absent("transformers") from error
    return WatchCallback(_checked(options))


class Watching:
    """What the callbacks share: one training after another, each watched from begin to end.

    Args:
        options: as for `watch`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._watch: Watch | None = None
        self._open = False

    def begin(self, network: nn.Module, optimizers: Iterable[Optimizer]) -> None:
        """Begin to watch; a training that never ended is left."""
        self.end()
        self._watch = watch(network, optimizers, **self._options)
        self._watch.__enter__()
        self._open = True

    def gradients_are_ready(self, optimizer: Optimizer) -> None:
        """Note that an optimizer is about to use its gradients."""
        if self._watch is not None and self._open:
            self._watch.gradients_are_ready(optimizer)

    def end(self) -> Findings | None:
        """Stop watching and return the findings; None where nothing was being watched."""
        if self._watch is None or not self._open:
            return None
        self._open = False
        self._watch.__exit__(None, None, None)
        return self._watch.findings()

    def findings(self) -> Findings:
        """Return what is wrong by what is known by now; nothing before the first training."""
        return Findings() if self._watch is None else self._watch.findings()


def tell(findings: Findings) -> str:
    """Return findings as plain lines.

    Example:
        >>> tell(Findings(clean=["NRM101"]))
        'normwise: 0 findings'
    """
    lines = [
        f"  {finding.level} {finding.code} {finding.where or 'the network'}: {finding.message}; "
        f"{finding.advice}"
        for finding in findings
    ]
    count = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}"
    return "\n".join([f"normwise: {count}", *lines, *(f"  note: {n}" for n in findings.notes)])


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    watch(nn.Identity(), **options)  # refuses what makes no sense before any training begins
    return options


def _absent(name: str) -> UsageError:
    return UsageError(f"{name} is not installed: pip install 'normwise[{name}]'")
