"""A trained network, with its history and what its samples and predictions mean."""

import html
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import safetensors.torch
import torch
from torch import nn

from normwise.data import Preparation
from normwise.edit import load_weights
from normwise.errors import UsageError
from normwise.files import write_bytes, write_text
from normwise.report.wording import metric_name
from normwise.samples import Samples, each, forward, tensors
from normwise.study.factories import make, resolve_factory
from normwise.study.plain import finite, from_json, to_json
from normwise.study.record import Record
from normwise.study.variants import Factory, parse_variants

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from normwise.report import HistoryTables

WEIGHTS, ABOUT = "model.safetensors", "fit.json"
_ROWS = 1024  # samples that the network takes at once
_EXAMPLES = 8


@dataclass(frozen=True, eq=False)
class Trained:
    """What `normwise.fit` returns.

    Attributes:
        network: with the weights of its lowest validation loss, in evaluation mode.
        record: how the training went.
        metric: the name of the score in tables.
        steps_per_epoch: to tell epochs by.
        preparation: how raw samples become the network's, and its outputs predictions.
        facts: how it was made, by name.
        best: the step whose weights the network has.
        interrupted: whether Ctrl-C ended the training.
        notes: what a reader should know.
        folder: where `fit` wrote it, or `load` read it; None where that is nowhere.

    Example:
        >>> import normwise as nw
        >>> trained = nw.fit(None, "digits", epochs=3, lr=0.1)
        >>> trained.frame()["epoch"].tolist()
        [0.0, 1.0, 2.0, 3.0]
        >>> images = nw.data.load("digits", standardize=False).test[:4].x
        >>> trained.predict(images).shape
        (4,)
    """

    network: nn.Module
    record: Record
    metric: str
    steps_per_epoch: int
    preparation: Preparation
    facts: Mapping[str, str]
    best: int
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)
    folder: Path | None = None

    @property
    def score(self) -> float:
        """The metric on the test split; NaN where there is none."""
        return self.record.outcome.test_metric

    @property
    def metric_name(self) -> str:
        """The score's name for the reader: `accuracy`, `R²`, or the user's own."""
        return metric_name(self.metric)

    @property
    def diverged(self) -> bool:
        """Whether the loss became NaN or infinite."""
        return self.record.outcome.status == "diverged"

    @property
    def verdict(self) -> str:
        """How the training came out, in a sentence or two."""
        outcome = self.record.outcome
        parts = []
        if self.diverged:
            parts.append(
                f"The training diverged by step {outcome.steps}: its loss became NaN or infinite. "
                "Try a lower learning rate, clip=1, or warmup=1."
            )
        row = next(row for row in outcome.evaluations if row.step == self.best)
        if self.diverged:
            kept = f"epoch {self.best / self.steps_per_epoch:.4g}" if self.best else "the start"
            kept = kept if math.isfinite(row.val_loss) else "the end, which are of no use"
            parts.append(f"The network has the weights of {kept}.")
        elif math.isfinite(row.val_loss):
            epochs = f"{outcome.steps / self.steps_per_epoch:.4g}"
            parts.append(
                f"Validation {self.metric_name} {row.val_metric:.4g} and loss {row.val_loss:.4g} "
                f"at epoch {self.best / self.steps_per_epoch:.4g}, the lowest loss of "
                f"{epochs} epoch{'' if epochs == '1' else 's'}."
            )
        else:
            parts.append(f"Training loss {outcome.evaluations[-1].train_loss:.4g} at the end.")
        if math.isfinite(outcome.test_metric):
            parts.append(f"Test {self.metric_name} {outcome.test_metric:.4g}.")
        return " ".join(parts)

    def frame(self) -> pd.DataFrame:
        """Return one row per evaluation.

        Columns: `step`, `epoch`, `lr` (of the next step), `train_loss` (mean over the batches since
        the evaluation before), `val_loss`, `val_acc` (or `val_r2`, `val_score`, your own), and a
        column for each head.
        """
        return pd.DataFrame(
            [
                {
                    "step": row.step,
                    "epoch": row.step / self.steps_per_epoch,
                    "lr": row.lr,
                    "train_loss": row.train_loss,
                    "val_loss": row.val_loss,
                    f"val_{self.metric}": row.val_metric,
                    **{f"val_{head}": score for head, score in row.heads.items()},
                }
                for row in self.record.outcome.evaluations
            ]
        )

    def outputs(self, x: Any) -> Any:
        """Return the network's outputs for raw samples, in evaluation mode.

        Args:
            x: samples as they were loaded, not standardised; an array, a tensor, or a tuple or dict
                of them.

        Raises:
            UsageError: they are not what the network was trained on.
        """
        samples = self.preparation.samples(x)
        parts = [self._output(samples, start) for start in range(0, _count(samples), _ROWS)]
        if isinstance(parts[0], Mapping):
            return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return torch.cat(parts)

    def predict(self, x: Any) -> Any:
        """Return what the network predicts for raw samples.

        Args:
            x: as in `outputs`.

        Returns:
            A NumPy array of labels as the data called them, or of numbers; a dict of them for
            several heads.
        """
        return self.preparation.predictions(self.outputs(x))

    def _output(self, samples: Samples, start: int) -> Any:
        like = next((p for p in self.network.parameters() if p.is_floating_point()), torch.ones(1))
        part = each(
            samples,
            lambda x: x[start : start + _ROWS].to(
                like.device, like.dtype if x.is_floating_point() else x.dtype
            ),
        )
        mode = self.network.training
        try:
            with torch.no_grad():
                return forward(self.network.eval(), part)
        finally:
            self.network.train(mode)

    def plot(self) -> "Figure":
        """Draw the loss over the epochs, as a Matplotlib figure."""
        from normwise.report import history_charts
        from normwise.report.drawing import look

        with look():
            return history_charts(self.tables())[0].draw()

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write the report: one self-contained page.

        Args:
            path: of the page, whose folder is made if need be.

        Returns:
            The path.

        Raises:
            UsageError: the page cannot be written.
        """
        from normwise.report import history_page

        return write_text(path, history_page(self.tables()))

    def to_json(self) -> str:
        """Return the outcome for programs: verdict, notes, scores, history, facts.

        A number that there is not, or that is infinite, is null.
        """
        told = {
            "verdict": self.verdict,
            "notes": self.notes,
            "metric": self.metric_name,
            "score": finite(self.score),
            "best": self.best,
            "interrupted": self.interrupted,
            "folder": None if self.folder is None else str(self.folder),
            "history": [
                {name: finite(value) for name, value in row.items()}
                for row in self.frame().to_dict("records")
            ],
            "facts": dict(self.facts),
        }
        return json.dumps(told, indent=2, allow_nan=False)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the network and all about it.

        Args:
            folder: made if it does not exist; gets `model.safetensors` (the state dict),
                `fit.json`, `history.csv` and `report.html`.

        Returns:
            The folder.

        Raises:
            UsageError: something cannot be written.
        """
        folder = Path(folder)
        state = {n: t.detach().cpu().contiguous() for n, t in self.network.state_dict().items()}
        write_bytes(folder / WEIGHTS, safetensors.torch.save(_unshared(state)))
        write_text(folder / "history.csv", self.frame().to_csv(index=False))
        self.to_html(folder / "report.html")
        write_text(folder / ABOUT, to_json(self._about()))
        return folder

    def _about(self) -> dict[str, Any]:
        return {
            "record": asdict(self.record),
            "metric": self.metric,
            "steps_per_epoch": self.steps_per_epoch,
            "preparation": self.preparation.to_plain(),
            "facts": dict(self.facts),
            "best": self.best,
            "interrupted": self.interrupted,
            "notes": self.notes,
        }

    @classmethod
    def load(cls, folder: str | os.PathLike[str], model: str | Factory | nn.Module) -> "Trained":
        """Read what `save` wrote; nothing in it is ever executed.

        Args:
            folder: of the training.
            model: the network, or what makes it, as it was given to `fit`; the variant is applied
                to it again.

        Raises:
            UsageError: the folder holds no training, or its weights do not fit the network.

        Example:
            >>> import normwise as nw
            >>> def make():
            ...     return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
            >>> folder = nw.fit(make, "digits", epochs=1).save("digits-net")
            >>> nw.Trained.load(folder, make).frame()["step"].tolist()
            [0, 17]
        """
        folder = Path(folder)
        about = read_about(folder)
        if about is None:
            raise UsageError(
                f"{folder} holds no finished training: name a folder that nw.fit(out=...) or "
                "Trained.save wrote"
            )
        [variant] = parse_variants([about["record"]["variant"]])
        seed = about["record"]["seed"]
        if not isinstance(model, nn.Module):
            model = make(resolve_factory(model), seed)
        if any(word.architecture is not None for word in variant.words):
            example = Preparation.from_plain(about["preparation"]).example(_EXAMPLES)
            model = variant.edit(model, example, seed)
        return cls.of(about, model, folder)

    @classmethod
    def of(cls, about: Mapping[str, Any], network: nn.Module, folder: Path) -> "Trained":
        """Put together what `save` wrote.

        Args:
            about: what `read_about` returned.
            network: that the variant has been applied to; gets the weights.
            folder: with the weights.

        Raises:
            UsageError: the weights do not fit.
        """
        load_weights(network, folder / WEIGHTS)
        return cls(
            network.eval(),
            Record.from_json(to_json(about["record"])),
            *(about["metric"], about["steps_per_epoch"]),
            Preparation.from_plain(about["preparation"]),
            *(about["facts"], about["best"], about["interrupted"], about["notes"]),
            folder=folder,
        )

    def tables(self) -> "HistoryTables":
        """Return all that the report shows."""
        from normwise.report import HistoryTables

        return HistoryTables(
            title=f"{self.facts['data']}: {self.facts['network'].partition(',')[0]}",
            verdict=self.verdict,
            notes=self.notes,
            facts=self.facts,
            metric=self.metric_name,
            curves=self.frame(),
            best=self.best,
        )

    def __repr__(self) -> str:
        return f"<Trained {self.facts['network']}: {self.verdict}>"

    def _repr_html_(self) -> str:
        """Show the verdict and the last evaluations in a notebook."""
        table = self.frame().tail(10).to_html(index=False, float_format="{:.4g}".format, na_rep="")
        return f"<p><strong>{html.escape(self.verdict)}</strong></p>{table}"


def read_about(folder: Path) -> dict[str, Any] | None:
    """Return what `Trained.save` wrote about a training, or None where there is none."""
    try:
        about = from_json((folder / ABOUT).read_text())
    except (OSError, ValueError):
        return None
    return about if isinstance(about, dict) and "record" in about else None


def _count(samples: Samples) -> int:
    return len(tensors(samples)[0])


def _unshared(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy tensors that share their memory, as those of tied layers do: the format knows none."""
    seen: set[int] = set()
    unshared = {}
    for name, tensor in state.items():
        shared = tensor.untyped_storage().data_ptr() in seen
        unshared[name] = tensor.clone() if shared else tensor
        seen.add(tensor.untyped_storage().data_ptr())
    return unshared
