"""`watch` as a callback of Transformers; imported only where Transformers is installed."""

# ruff: noqa: ARG002 (Transformers names the arguments)

from typing import Any

from transformers.trainer_callback import TrainerCallback

from normwise.rules.callbacks import Watching, tell


class WatchCallback(TrainerCallback):
    """Watches a `Trainer.train` and tells its findings at the end; see `trainer_callback`."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.watching = Watching(options)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Begin to watch."""
        self.watching.begin(kwargs["model"], ())

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop watching, and tell on the main process."""
        findings = self.watching.end()
        if findings is not None and state.is_world_process_zero:
            print(tell(findings))
