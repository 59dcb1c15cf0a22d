"""A single training that has been checked and can run."""

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normwise.data import Data, Memory, load, pick_device, read_memory
from normwise.edit import take_weights
from normwise.edit.take_weights import Source
from normwise.errors import Problems, UsageError
from normwise.files import owned
from normwise.report.wording import metric_name
from normwise.stack import Alone, Budget, Keeping, Outcome, Recipe, State, train
from normwise.study.checkpoints import Checkpoints
from normwise.study.epochs import Shown, showing_epochs
from normwise.study.factories import Workshop, resolve_factory
from normwise.study.fingerprint import fingerprint
from normwise.study.interrupting import interruptible
from normwise.study.networks import mlp
from normwise.study.plan import checked_workshop, described, described_splits
from normwise.study.record import Record
from normwise.study.settings import Settings, not_counting, read_seeds
from normwise.study.study import machine
from normwise.study.trained import Trained, read_about
from normwise.study.training import explained
from normwise.study.variants import Factory, Variant, parse_variants

_CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Fitting:
    """A network to train, and how.

    Attributes:
        workshop: builds the network.
        network: the user's own, which is trained in place, or None to build one.
        name: what the network is called in the report.
        variant: what is changed.
        seed: of the run.
        settings: of the training.
        recipe: likewise, with the words of the variant.
        init_from: where weights are taken from first, or None.
    """

    workshop: Workshop
    network: nn.Module | None
    name: str
    variant: Variant
    seed: int
    settings: Settings
    recipe: Recipe
    init_from: Source | None

    @classmethod
    def of(
        cls,
        model: str | Factory | nn.Module | None,
        data: Any,
        variant: str,
        seed: int,
        settings: Settings,
        device: str | torch.device,
        init_from: Source | None,
        memory: Memory | None = None,
    ) -> "Fitting":
        """Check all that was asked for.

        Raises:
            UsageError: all mistakes in it. The network is tried once everything else is right.
        """
        problems = Problems()
        loaded, factory, parsed = None, None, []
        with problems.collect():
            place = pick_device(device)
            bound = None if memory is None else read_memory(memory)
            loaded = load(data, device=place, memory=memory).to(place, bound)
        with problems.collect():
            factory = _factory(model)
        with problems.collect():
            parsed = parse_variants([variant])
        problems.add(*read_seeds([seed])[1])
        problems.add(*settings.problems(loaded))
        problems.raise_if_any()
        assert loaded is not None  # otherwise there was a problem
        if settings.evaluate_every is None:
            every = len(loaded.train) // min(settings.batch_size, len(loaded.train))
            settings = replace(settings, evaluate_every=every)
        recipe = settings.recipe_for(parsed[0], loaded)
        _check_selection(recipe, loaded)
        stopping = replace(recipe.stopping, restore=len(loaded.val) > 0)
        recipe = replace(recipe, stopping=stopping)
        factory = factory or mlp(loaded)
        workshop = checked_workshop(factory, loaded, settings, parsed, [recipe], seed)
        network = model if isinstance(model, nn.Module) else None
        return cls(
            *(workshop, network, _name(model, factory), parsed[0], seed),
            *(settings, recipe, init_from),
        )

    @property
    def budget(self) -> Budget:
        """How long the run trains."""
        return self.settings.budget(self.workshop.data)

    def run(
        self,
        out: str | os.PathLike[str] | None,
        resume: bool,
        checkpoint_every: int | None,
        progress: bool | None,
    ) -> Trained:
        """Train the network, or what is left of the training.

        Raises:
            UsageError: the folder holds something else, belongs to another process at the moment or
                cannot be written, or the training fails.
        """
        folder = None if out is None else Path(out)
        _check_keeping(folder, resume, checkpoint_every)
        if folder is None:
            return self._run(None, resume, checkpoint_every, progress)
        with owned(folder):
            _check_folder(folder, resume)
            return self._run(folder, resume, checkpoint_every, progress)

    def _run(
        self, folder: Path | None, resume: bool, checkpoint_every: int | None, progress: bool | None
    ) -> Trained:
        network, notes = self._start(copy.deepcopy(self.network))
        data, budget = self.workshop.data, self.budget
        checkpoints, state = None, None
        if folder is not None:
            checkpoints, state, lost = self._claim(folder, network, resume)
            notes += lost
        if self.network is not None:
            network, _ = self._start(self.network)  # nothing was wrong with the copy
        finished = _finished(folder, resume)
        if folder is not None and finished is not None:
            return Trained.of(finished, network, folder)
        stack = Alone(network, self.recipe, self.workshop.objective, self.seed)
        every = checkpoint_every or budget.steps_per_epoch
        metric = metric_name(self.workshop.objective.metric)
        with showing_epochs(progress, budget, metric) as shown, interruptible() as pressed:
            keeping = _keeping(checkpoints, state, every, budget, shown, pressed)
            with explained("the training", _kept(folder)):
                [outcome] = train(
                    *(stack, [self.seed], data, budget),
                    observe=lambda row, run, network: shown.evaluated(row),  # noqa: ARG005
                    stopping=[self.recipe.stopping],
                    keeping=keeping,
                )
            interrupted = pressed()
        trained = self._trained(network, outcome, notes, interrupted, folder)
        if folder is not None:
            trained.save(folder)
        return trained

    def _start(self, own: nn.Module | None) -> tuple[nn.Module, list[str]]:
        """Return the network before its first step, and what to tell about it.

        Args:
            own: the user's network, or a copy of it; None to build one.
        """
        if own is None:
            network = self.workshop.build(self.variant, self.seed)
        else:
            network = own.to(self.workshop.data.train.device)
            network = self.variant.edit(network, self.workshop.example.x, self.seed)
        if self.init_from is None:
            return network, []
        matched = take_weights(network, self.init_from)
        return network, [f"Weights at the start: {part}." for part in str(matched).splitlines()]

    def _claim(
        self, folder: Path, network: nn.Module, resume: bool
    ) -> tuple[Checkpoints, State | None, list[str]]:
        """Make sure that the folder is for this training, and find where to go on."""
        used = _used(folder)
        checkpoints = Checkpoints(folder / _CHECKPOINTS, self._identity(network))
        state, lost = checkpoints.load() if resume else (None, [])
        if resume and state is None and used and not checkpoints.begun:
            raise UsageError(f"out={folder} holds no checkpoint to go on from: name another folder")
        checkpoints.begin()
        skipped = [f"A checkpoint could not be used, so the one before it was: {p}" for p in lost]
        return checkpoints, state, skipped

    def _identity(self, network: nn.Module) -> dict[str, Any]:
        """What the numbers of the training depend on."""
        example = self.workshop.example
        return {
            "data": self.workshop.data.fingerprint(),
            "network": fingerprint(network, example.x),
            "variant": self.variant.name,
            "seed": self.seed,
            **self.settings.identity(),
            "device": str(example.device),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }

    def _trained(
        self,
        network: nn.Module,
        outcome: Outcome,
        notes: list[str],
        interrupted: bool,
        folder: Path | None,
    ) -> Trained:
        if interrupted:
            notes = [*notes, f"Ctrl-C ended the training after step {outcome.steps}."]
        elif outcome.status == "done" and outcome.steps < self.budget.steps:
            notes = [*notes, self._stopped(outcome)]
        return Trained(
            network=network.eval(),
            record=Record(self.variant.name, self.seed, outcome),
            metric=self.workshop.objective.metric,
            steps_per_epoch=self.budget.steps_per_epoch,
            preparation=self.workshop.data.preparation,
            facts=self._facts(network),
            best=_best(outcome),
            interrupted=interrupted,
            notes=notes,
            folder=folder,
        )

    def _stopped(self, outcome: Outcome) -> str:
        epochs = outcome.steps / self.budget.steps_per_epoch
        return (
            f"early_stop={self.recipe.stopping.patience} ended the training after {epochs:.4g} of "
            f"{self.settings.epochs} epochs."
        )

    def _facts(self, network: nn.Module) -> dict[str, str]:
        data, budget = self.workshop.data, self.budget
        weights = sum(p.numel() for p in network.parameters())
        return {
            "data": data.name,
            "samples": described_splits(data),
            "network": f"{self.name}, {weights:,} parameters",
            "variant": self.variant.name,
            "seed": str(self.seed),
            "epochs": f"{self.settings.epochs} ({budget.steps} batches of {budget.batch_size})",
            "optimizer": described(self.settings),
            "device": str(data.train.device),
            **machine(),
        }


def _factory(model: str | Factory | nn.Module | None) -> Factory | None:
    """What makes the network to try things on; a network of the user's own is copied for that."""
    if model is None:
        return None
    if isinstance(model, nn.Module):
        return lambda: copy.deepcopy(model)
    return resolve_factory(model)


def _name(model: str | Factory | nn.Module | None, factory: Factory) -> str:
    if isinstance(model, str):
        return model
    if isinstance(model, nn.Module):
        return type(model).__name__
    return getattr(factory, "__name__", repr(factory))


def _check_selection(recipe: Recipe, data: Data) -> None:
    if len(data.val):
        return
    problems = Problems()
    for name, asked in (
        ("early_stop", recipe.stopping.patience is not None),
        ("schedule=plateau", recipe.schedule.by_result),
    ):
        if asked:
            problems.add(
                f"{name} goes by the validation loss, and this data has no validation split: load "
                "it with val=0.2, or leave it out"
            )
    problems.raise_if_any()


def _check_keeping(folder: Path | None, resume: bool, checkpoint_every: int | None) -> None:
    problems = Problems()
    if checkpoint_every is not None:
        problems.add(*not_counting("checkpoint_every", checkpoint_every))
    for name, asked in (("resume", resume), ("checkpoint_every", checkpoint_every is not None)):
        if asked and folder is None:
            problems.add(f"{name} needs out, the folder of the training")
    problems.raise_if_any()


def _check_folder(folder: Path, resume: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"out={folder} is a file: name a folder for the training")
    if _used(folder) and not resume:
        raise UsageError(
            f"out={folder} is not empty: go on with the training in it (--resume, "
            "resume=True), or name another folder"
        )


def _used(folder: Path) -> bool:
    return folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir())


def _kept(folder: Path | None) -> str:
    if folder is None:
        return "Nothing is on disk: with out=FOLDER, checkpoints would be"
    return f"Checkpoints in {folder} are kept: resume=True goes on from the last, if there is one"


def _keeping(
    checkpoints: Checkpoints | None,
    state: State | None,
    every: int,
    budget: Budget,
    shown: Shown,
    pressed: Callable[[], bool],
) -> Keeping:
    def stops(step: int) -> bool:
        shown.stepped(step)
        return pressed()

    if checkpoints is None:
        return Keeping(lambda _: False, lambda _: None, None, stops)
    return Keeping(
        lambda step: step % every == 0 or step == budget.steps, checkpoints.save, state, stops
    )


def _finished(folder: Path | None, resume: bool) -> Mapping[str, Any] | None:
    about = read_about(folder) if resume and folder is not None else None
    return None if about is None or about["interrupted"] else about


def _best(outcome: Outcome) -> int:
    rows = [row for row in outcome.evaluations if row.val_loss == row.val_loss]
    return min(rows, key=lambda row: row.val_loss).step if rows else outcome.steps
