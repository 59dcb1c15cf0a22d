"""A study that has been checked and can run."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normwise.data import Data, Streamed, load, pick_device
from normwise.errors import Problems
from normwise.files import owned
from normwise.samples import forward, tensors
from normwise.stack import Budget, Processes, Recipe
from normwise.study.constant import constant_score
from normwise.study.factories import Workshop, make, resolve_factory
from normwise.study.fingerprint import fingerprint
from normwise.study.networks import mlp
from normwise.study.progress import showing
from normwise.study.record import Record
from normwise.study.results import Results
from normwise.study.schedule import RunName, Schedule
from normwise.study.settings import Settings, not_counting, read_seeds
from normwise.study.store import Store
from normwise.study.study import Study, machine
from normwise.study.training import THREADS, Advance, Training, one_thread
from normwise.study.variants import Factory, Variant, Variants, parse_variants
from normwise.trace import undisturbed


@dataclass(frozen=True)
class Plan:
    """Variants and seeds to run, with everything they have in common.

    Attributes:
        workshop: builds the networks.
        model: what the network is called in the report.
        variants: the baseline first.
        seeds: of every variant; the first seed's hidden layers are looked into.
        settings: of all runs.
        workers: processes to use, or None to decide.
        stack: runs in a stack, 1 for none, or None to decide.
    """

    workshop: Workshop
    model: str
    variants: list[Variant]
    seeds: list[int]
    settings: Settings
    workers: int | None
    stack: int | None

    @classmethod
    def of(
        cls,
        model: str | Factory | None,
        data: Any,
        variants: Variants,
        seeds: int | Iterable[int],
        settings: Settings,
        device: str | torch.device,
        workers: int | None,
        stack: int | None,
    ) -> "Plan":
        """Check all that was asked for.

        Raises:
            UsageError: all mistakes in it. The variants are tried on the network once everything
                else is right.
        """
        problems = Problems()
        loaded, factory, parsed = None, None, []
        with problems.collect():
            place = pick_device(device)
            loaded = load(data, device=place).to(place)
        with problems.collect():
            factory = None if model is None else resolve_factory(model)
        with problems.collect():
            parsed = parse_variants(variants)
        if loaded is not None:
            problems.add(*_empty_problems(loaded))
        read, wrong = read_seeds(seeds)
        problems.add(*wrong)
        problems.add(*settings.problems(loaded))
        for name, value in (("workers", workers), ("stack", stack)):
            problems.add(*([] if value is None else not_counting(name, value)))
        if loaded is not None and workers not in (None, 1):
            problems.add(*_worker_problems(workers, loaded.train.device))
        problems.raise_if_any()
        assert loaded is not None  # otherwise there was a problem
        recipes = _recipes(parsed, settings, loaded)
        factory = factory or mlp(loaded)
        workshop = checked_workshop(factory, loaded, settings, parsed, recipes, read[0])
        name = model if isinstance(model, str) else getattr(factory, "__name__", repr(factory))
        return cls(workshop, name, parsed, read, settings, workers, stack)

    @property
    def budget(self) -> Budget:
        """How long every run trains."""
        return self.settings.budget(self.workshop.data)

    def run(self, out: str | os.PathLike[str] | None, resume: bool, progress: bool | None) -> Study:
        """Train what has not been trained yet.

        Args:
            out: the study's folder, or None.
            resume: whether to go on with the study that is there.
            progress: whether to show it.

        Raises:
            UsageError: the folder holds something else, belongs to another process at the moment,
                or cannot be written.
            KeyboardInterrupt: what is finished has been saved, with its tables and report.
        """
        if out is None:
            return self._run(None, resume, progress)
        with owned(out):
            return self._run(Store(Path(out)), resume, progress)

    def _run(self, store: Store | None, resume: bool, progress: bool | None) -> Study:
        marks = {} if store is None else self._claim(store, resume)
        records = {} if store is None else store.records()
        earlier = None if store is None else store.schedule()
        todo = [(v.name, seed) for seed in self.seeds for v in self.variants]
        todo = [run for run in todo if run not in records]
        training = self._training()
        schedule = training.schedule(todo, earlier)
        whole = schedule if earlier is None else earlier.extended(schedule)
        if store is not None:
            store.begin({**marks, "schedule": whole.to_plain()})
        try:
            self._train(training, schedule, records, store, progress)
        finally:
            # Also on Ctrl-C: what is finished can be looked at.
            study = self._study(records.values(), whole, store)
            if store is not None and study.results.records:
                study.save(store.folder)
        return study

    def _training(self) -> Training:
        variants = {variant.name: variant for variant in self.variants}
        return Training(
            *(self.workshop, self.settings, variants, self.seeds[0], self.workers, self.stack)
        )

    def _claim(self, store: Store, resume: bool) -> dict[str, Any]:
        """Make sure that the folder is for this study, and return what it is known by."""
        with one_thread():
            identity, marks = self._identity(), {v.name: self._mark(v) for v in self.variants}
        store.check(identity, resume)
        store.check_variants(marks)
        asked = {**self._facts(), "seeds": self.seeds}
        return {"identity": identity, "variants": marks, "asked": asked}

    def _identity(self) -> dict[str, Any]:
        """What the numbers of every run depend on."""
        example = self.workshop.example
        network = self.workshop.build(_UNCHANGED, 0).eval()
        mark = fingerprint(network, example.x)
        with undisturbed(network), torch.no_grad():
            loss = self.workshop.objective.loss(forward(network, example.x), example.y).item()
        return {
            "data": self.workshop.data.fingerprint(),
            "network": mark,
            **self.settings.identity(),
            "loss of the untrained network": repr(loss),  # tells apart functions of one name
            "evaluate_every": self.budget.evaluate_every,
            "device": str(example.device),
            "torch": torch.__version__,
            "threads": THREADS,
        }

    def _mark(self, variant: Variant) -> str:
        """What makes a variant what it is: its network, and how it is trained."""
        network = fingerprint(self.workshop.build(variant, 0), self.workshop.example.x)
        return f"{network} {self.settings.recipe_for(variant, self.workshop.data)}"

    def _train(
        self,
        training: Training,
        schedule: Schedule,
        records: dict[RunName, Record],
        store: Store | None,
        progress: bool | None,
    ) -> None:
        """Do the schedule's jobs; a finished run is in `records`, and on disk, at once."""
        runs = sum(len(job.runs) for job in schedule.jobs)
        with showing(progress, runs, self.budget.steps) as shown:

            def receive(message: Advance | Record) -> None:
                if isinstance(message, Advance):
                    shown.advanced(message.doing, message.steps)
                    return
                run = message.variant, message.seed
                if run not in records:  # it was done again with the stack that it belongs to
                    if store is not None:
                        store.save(message)
                    records[run] = message
                shown.finished(message)

            training.run(schedule, receive)

    def _study(self, records: Iterable[Record], schedule: Schedule, store: Store | None) -> Study:
        by_run = {(record.variant, record.seed): record for record in records}
        names = [variant.name for variant in self.variants]
        wanted = [(name, seed) for name in names for seed in self.seeds]
        budget = self.budget
        results = Results(
            records=[by_run[run] for run in wanted if run in by_run],
            variants=names,
            seeds=self.seeds,
            metric=self.workshop.objective.metric,
            target=self.settings.target,
            margin=self.settings.margin,
            budget=budget.steps,
            steps_per_epoch=budget.steps_per_epoch,
            constant=constant_score(self.workshop.data, self.workshop.objective.metric),
        )
        facts = {**self._facts(), "training": f"{schedule}, on {self.workshop.example.device}"}
        return Study(results, facts, schedule.frame(), None if store is None else store.folder)

    def _facts(self) -> dict[str, str]:
        data, budget, settings = self.workshop.data, self.budget, self.settings
        network = make(self.workshop.factory, 0)
        weights = sum(p.numel() for p in network.parameters())
        return {
            "data": data.name,
            "samples": described_splits(data),
            "network": f"{self.model}, {weights:,} parameters",
            "seeds": ", ".join(map(str, self.seeds)),
            "epochs": f"{settings.epochs} ({budget.steps} steps of {budget.batch_size} samples)",
            "optimizer": described(settings),
            "evaluated": f"every {budget.evaluate_every} steps, on the validation split",
            **machine(),
        }


_UNCHANGED = Variant("plain")


def _recipes(variants: list[Variant], settings: Settings, data: Data) -> list[Recipe]:
    """How each variant is trained."""
    settings.recipe_for(_UNCHANGED, data)  # what is wrong for all is said once
    problems, recipes = Problems(), []
    for variant in variants:
        with problems.collect(f"variant {variant.name!r}: "):
            recipes.append(settings.recipe_for(variant, data))
    problems.raise_if_any()
    return recipes


def _empty_problems(data: Data) -> list[str]:
    return [
        f"this data has no {name} split, and variants are {what} by it: load it with {key}=0.2"
        for split, name, what, key in (
            (data.val, "validation", "selected", "val"),
            (data.test, "test", "compared", "test"),
        )
        if not len(split)
    ]


def _worker_problems(workers: int, device: torch.device) -> list[str]:
    """Several processes are forks of this one, on the CPU."""
    if device.type != "cpu":
        return [f"workers={workers}: on {device.type}, one process trains all runs; leave it out"]
    if not Processes.available():
        return [f"workers={workers}: this system cannot fork, so one process trains all runs"]
    return []


def described_splits(data: Data) -> str:
    """Say how many samples each split has."""
    told = f"{len(data.train)} to train, {len(data.val)} to validate, {len(data.test)} to test"
    return f"{told}; streamed" if isinstance(data.train, Streamed) else told


def described(settings: Settings) -> str:
    """Say how runs are trained, with the words that go for all of them."""
    recipe = settings.recipe
    told = [recipe.optimizer, f"lr={recipe.lr:g}"]
    if recipe.momentum:
        told.append(f"momentum={recipe.momentum:g}{' (Nesterov)' if recipe.nesterov else ''}")
    if recipe.weight_decay is not None:
        told.append(f"weight_decay={recipe.weight_decay:g}")
    told += [f"{key}={value}" for key, value in settings.described_options().items()]
    return ", ".join(told)


def checked_workshop(
    factory: Factory,
    data: Data,
    settings: Settings,
    variants: list[Variant],
    recipes: list[Recipe],
    seed: int,
) -> Workshop:
    """Return what builds the networks, of which each variant has been tried.

    Args:
        factory: of the network.
        data: is cast to the dtype of the network.
        settings: of the training.
        variants: which.
        recipes: how each is trained.
        seed: of the networks that are tried.

    Raises:
        UsageError: all that is wrong with all variants, the network itself first.
    """
    network = make(factory, seed)  # one for all that only looks at it: making one may take long
    data = _in_dtype_of(network, data)
    workshop = Workshop(factory, data, settings.goal(data))
    workshop.check(network, variants, recipes, seed, settings.batch_size)
    return workshop


def _in_dtype_of(network: nn.Module, data: Data) -> Data:
    """Cast floating-point samples to the dtype of the network's weights."""
    dtypes = [p.dtype for p in network.parameters() if p.is_floating_point()]
    floating = {x.dtype for x in tensors(data.train.x) if x.is_floating_point()}
    if not dtypes or floating <= {dtypes[0]}:
        return data
    splits = {"train": data.train, "val": data.val, "test": data.test}
    return replace(data, **{name: split.cast(dtypes[0]) for name, split in splits.items()})
