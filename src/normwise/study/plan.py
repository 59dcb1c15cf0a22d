"""A study that has been checked and can run."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normwise.data import Data, Split, load
from normwise.errors import Problems
from normwise.evidence import distributions
from normwise.stack import Alone, Budget, Objective, train
from normwise.study.factories import Workshop, make, resolve_factory
from normwise.study.fingerprint import fingerprint
from normwise.study.networks import mlp
from normwise.study.progress import Progress, showing
from normwise.study.record import Record
from normwise.study.results import Results
from normwise.study.settings import Settings, read_seeds
from normwise.study.store import Store
from normwise.study.study import Study, machine
from normwise.study.variants import Factory, Variant, Variants, parse_variants

_PROBE = 512  # samples of the validation split on which hidden layers are looked into
_MOMENTS = 5  # at which they are, evenly from the first step to the last
_THREADS = 1  # a step of a small network is too short to be worth sharing out


@dataclass(frozen=True)
class Plan:
    """Variants and seeds to run, with everything they have in common.

    Attributes:
        workshop: builds the networks.
        model: what the network is called in the report.
        variants: the baseline first.
        seeds: of every variant; the first seed's hidden layers are looked into.
        settings: of all runs.
    """

    workshop: Workshop
    model: str
    variants: list[Variant]
    seeds: list[int]
    settings: Settings

    @classmethod
    def of(
        cls,
        model: str | Factory | None,
        data: Any,
        variants: Variants,
        seeds: int | Iterable[int],
        settings: Settings,
        device: str | torch.device,
    ) -> "Plan":
        """Check all that was asked for.

        Raises:
            UsageError: all mistakes in it. The variants are tried on the network once everything
                else is right.
        """
        problems = Problems()
        loaded, factory, parsed = None, None, []
        with problems.collect():
            loaded = load(data, device=device).to(device)
        with problems.collect():
            factory = None if model is None else resolve_factory(model)
        with problems.collect():
            parsed = parse_variants(variants)
        read, wrong = read_seeds(seeds)
        problems.add(*wrong)
        problems.add(*settings.problems(None if loaded is None else loaded.task))
        problems.raise_if_any()
        assert loaded is not None  # otherwise there was a problem
        factory = factory or mlp(loaded)
        loaded = _in_dtype_of(make(factory, read[0]), loaded)
        workshop = Workshop(factory, loaded, Objective(loaded.task, settings.loss))
        workshop.check(parsed, read[0], settings.batch_size)
        name = model if isinstance(model, str) else getattr(factory, "__name__", repr(factory))
        return cls(workshop, name, parsed, read, settings)

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
            UsageError: the folder holds something else, or cannot be written.
            KeyboardInterrupt: what is finished has been saved, with its tables and report.
        """
        if out is None:
            return self._study(self._train(set(), progress))
        store = Store(Path(out))
        self._open(store, resume)
        records = store.records()
        try:
            for record in self._train(set(records), progress):
                store.save(record)
                records[record.variant, record.seed] = record
        finally:
            # Also on Ctrl-C: what is finished can be looked at.
            study = self._study(records.values(), store.folder)
            if study.results.records:
                study.save(store.folder)
        return study

    def _open(self, store: Store, resume: bool) -> None:
        """Claim the folder for this study."""
        seed, example = self.seeds[0], self.workshop.example.x
        identity = {
            "data": self.workshop.data.fingerprint(),
            "network": fingerprint(self.workshop.build(_UNCHANGED, 0), example),
            **self.settings.identity(),
            "evaluate_every": self.budget.evaluate_every,
            "device": str(example.device),
            "torch": torch.__version__,
            "threads": _THREADS,
        }
        marks = {v.name: fingerprint(self.workshop.build(v, 0), example) for v in self.variants}
        store.check(identity, resume)
        store.check_variants(marks)
        asked = {"seeds": self.seeds, "snapshots_of_seed": seed, **self._facts()}
        store.begin({"identity": identity, "variants": marks, "asked": asked})

    def _train(self, done: set[tuple[str, int]], progress: bool | None) -> Iterator[Record]:
        """Yield finished runs, seed by seed, so that an interrupted study has whole pairs."""
        todo = [
            (variant, seed)
            for seed in self.seeds
            for variant in self.variants
            if (variant.name, seed) not in done
        ]
        with _threads(_THREADS), showing(progress, len(todo), self.budget.steps) as shown:
            for variant, seed in todo:
                yield self._run(variant, seed, shown)

    def _run(self, variant: Variant, seed: int, shown: Progress) -> Record:
        shown.started(variant.name, seed)
        data, budget, snapshots = self.workshop.data, self.budget, {}
        moments = _moments(budget) if seed == self.seeds[0] else set()
        recipe = variant.tune(self.settings.recipe)
        stack = Alone(self.workshop.build(variant, seed), recipe, self.workshop.objective)

        def observe(step: int, run: int, network: nn.Module) -> None:  # noqa: ARG001
            shown.stepped(step)
            if step in moments:
                snapshots[step] = distributions(network, data.val.x[:_PROBE])

        [outcome] = train(stack, [seed], data, budget, observe)
        record = Record(variant.name, seed, outcome, snapshots)
        shown.finished(record)
        return record

    def _study(self, records: Iterable[Record], folder: Path | None = None) -> Study:
        by_run = {(record.variant, record.seed): record for record in records}
        names = [variant.name for variant in self.variants]
        wanted = [(name, seed) for name in names for seed in self.seeds]
        data, budget = self.workshop.data, self.budget
        results = Results(
            records=[by_run[run] for run in wanted if run in by_run],
            variants=names,
            seeds=self.seeds,
            metric=self.workshop.objective.metric,
            target=self.settings.target,
            margin=self.settings.margin,
            budget=budget.steps,
            steps_per_epoch=len(data.train) // budget.batch_size,
        )
        return Study(results, self._facts(), folder)

    def _facts(self) -> dict[str, str]:
        data, budget, settings = self.workshop.data, self.budget, self.settings
        network = make(self.workshop.factory, 0)
        weights = sum(p.numel() for p in network.parameters())
        splits = (
            f"{len(data.train)} to train, {len(data.val)} to validate, {len(data.test)} to test"
        )
        return {
            "data": data.name,
            "samples": splits,
            "network": f"{self.model}, {weights:,} parameters",
            "seeds": ", ".join(map(str, self.seeds)),
            "epochs": f"{settings.epochs} ({budget.steps} steps of {budget.batch_size} samples)",
            "optimizer": _described(settings),
            "evaluated": f"every {budget.evaluate_every} steps, on the validation split",
            "training": f"on {data.train.x.device}, {_THREADS} thread, one run after another",
            **machine(),
        }


_UNCHANGED = Variant("plain")


def _described(settings: Settings) -> str:
    recipe = settings.recipe
    told = [recipe.optimizer, f"lr={recipe.lr:g}"]
    if recipe.momentum:
        told.append(f"momentum={recipe.momentum:g}{' (Nesterov)' if recipe.nesterov else ''}")
    if recipe.weight_decay is not None:
        told.append(f"weight_decay={recipe.weight_decay:g}")
    return ", ".join(told)


def _moments(budget: Budget) -> set[int]:
    """The evaluations at which hidden layers are looked into."""
    steps = [step for step in range(budget.steps + 1) if budget.is_evaluation(step)]
    places = range(_MOMENTS)
    return {steps[round(place * (len(steps) - 1) / (_MOMENTS - 1))] for place in places}


def _in_dtype_of(network: nn.Module, data: Data) -> Data:
    """Cast floating-point samples to the dtype of the network's weights."""
    dtypes = [p.dtype for p in network.parameters() if p.is_floating_point()]
    if not dtypes or not data.train.x.is_floating_point() or data.train.x.dtype == dtypes[0]:
        return data

    def cast(split: Split) -> Split:
        y = split.y.to(dtypes[0]) if split.y.is_floating_point() else split.y
        return Split(split.x.to(dtypes[0]), y)

    return replace(data, train=cast(data.train), val=cast(data.val), test=cast(data.test))


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
