"""`watch` as a callback of Lightning; imported only where Lightning is installed."""

# ruff: noqa: ARG002 (Lightning names the arguments)

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities import rank_zero_info
from torch.optim import Optimizer

from normwise.rules.callbacks import Watching, tell


class WatchCallback(pl.Callback):
    """Watches a `Trainer.fit` and tells its findings at the end; see `lightning_callback`."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.watching = Watching(options)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to watch."""
        self.watching.begin(pl_module, trainer.optimizers)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Measure gradients here, since Lightning makes them within the optimizer's step."""
        self.watching.gradients_are_ready(optimizer)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop watching, and tell."""
        self._end()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Stop watching and tell, also after a crash or Ctrl-C."""
        self._end()

    def _end(self) -> None:
        findings = self.watching.end()
        if findings is not None:
            rank_zero_info(tell(findings))
