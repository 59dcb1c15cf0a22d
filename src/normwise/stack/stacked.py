"""Many runs of one architecture, trained as a single tensor program."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from normwise.data import Split
from normwise.samples import Samples, Targets
from normwise.stack.accumulation import Accumulation
from normwise.stack.alike import compare_networks, compare_recipes, dropout_p
from normwise.stack.augmenting import Augmenter
from normwise.stack.calling import Tensors, call
from normwise.stack.checking import Check, FirstStep
from normwise.stack.evaluation import ROWS, evaluate
from normwise.stack.forms import LayoutForms, PerRun, Streams, channels_last
from normwise.stack.objective import Goal, Scores
from normwise.stack.optimizers import stacked_optimizer
from normwise.stack.penalties import StackedShrinking, strengths
from normwise.stack.products import Product
from normwise.stack.recipes import Recipe
from normwise.stack.recording import Bonus, NotStackable, Program, record, refusing
from normwise.stack.seeding import derive

# Convolutions of so many channels are evaluated faster with the channels last, and with so few
# samples at once that their images stay in the cache.
_WIDE, _FEW = 8, 512


class Stacked:
    """Runs that share one forward: their weights are stacked, and a step is one program.

    A run's result is that of the run alone, but for rounding: it has the same initial weights, the
    same batches, its own dropout stream and torch's own optimizer. That the recorded program
    computes what the networks compute is checked on the first batch.

    Args:
        networks: one per run, of one architecture; only dropout's p may differ.
        recipes: one per run, of one kind of optimizer and one number of batches for its step;
            faster where equal ones are neighbours.
        objective: loss and metric.
        seeds: one per run; fix the dropout masks, and how batches are augmented.
        example: a batch that the runs could train on.

    Raises:
        NotStackable: the networks cannot train as one program, with the reason.

    Example:
        >>> from normwise.stack import Objective
        >>> networks = [nn.Linear(2, 1) for _ in range(3)]
        >>> example = Split(torch.rand(8, 2), torch.rand(8))
        >>> stack = Stacked(networks, [Recipe()] * 3, Objective("regression"), [0, 1, 2], example)
        >>> stack.step(example.x.expand(3, 8, 2), example.y.expand(3, 8)).shape
        torch.Size([3])
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        recipes: Sequence[Recipe],
        objective: Goal,
        seeds: Sequence[int],
        example: Split,
    ) -> None:
        compare_recipes(recipes)
        with refusing():
            self._template = copy.deepcopy(networks[0]).train()
            compare_networks(networks)
        self._objective = objective
        self._smoothing = PerRun([recipe.label_smoothing for recipe in recipes])
        self._entropy = PerRun([recipe.entropy for recipe in recipes])
        self._p = dropout_p(networks)
        self._size, self._example = len(networks), example
        # What decides which samples a run sees, and how they are changed.
        self._sources = [(seed, r.augment) for seed, r in zip(seeds, recipes, strict=True)]
        trained = {name for name, p in networks[0].named_parameters() if p.requires_grad}
        parameters = [dict(network.named_parameters()) for network in networks]
        frozen = [_pick(each, set(each) - trained) for each in parameters]
        buffers = [dict(network.named_buffers()) for network in networks]
        self._weights = _stack([_pick(each, trained) for each in parameters])
        self._buffers = _stack([a | b for a, b in zip(buffers, frozen, strict=True)])
        self._across = _linear_weights(self._template) & trained
        self._weights = {
            name: weight.mT.contiguous() if name in self._across else weight
            for name, weight in self._weights.items()
        }
        if not self._weights:
            raise NotStackable("the network has no weights to train")
        self._optimizer = stacked_optimizer(
            list(self._weights.values()), recipes, self._shrinking(recipes)
        )
        self._accumulation = Accumulation(recipes[0].accumulate)
        self._streams = Streams([derive(seed, "dropout") for seed in seeds], example.device)
        sources = self._sources[: self.batches]
        self._augmenter = Augmenter(
            [augment for _, augment in sources], [seed for seed, _ in sources], example.device
        )
        with refusing():
            self._program = self._record()
            self._check(networks)

    @property
    def batches(self) -> int:
        """How many batches a step takes: runs whose seeds come again in one order share them.

        They do not where their batches are augmented in different ways.
        """
        all_ = self._sources
        periods = (n for n in range(1, len(all_) + 1) if len(all_) % n == 0)
        return next((n for n in periods if all_[:-n] == all_[n:]), 0)

    @property
    def size(self) -> int:
        """How many runs there are."""
        return self._size

    @property
    def memory(self) -> int:
        """Bytes that a step needs at its peak, weights and optimizer included."""
        weights = sum(w.nbytes for w in [*self._weights.values(), *self._buffers.values()])
        return 3 * weights + self._program.memory

    def step(self, x: Samples, y: Targets) -> Tensor:
        """Update run r on batch r modulo `batches`; return the losses, shape (size,)."""
        masks = self._streams.draw(self._program.sites)
        losses, gradients = self._program(self._augmenter(x), y, masks)
        stored = {name: self._stored(name, gradient) for name, gradient in gradients.items()}
        mean = self._accumulation.add([stored.get(name) for name in self._weights])
        if mean is not None:
            self._optimizer.step(mean)
        return losses

    def _stored(self, name: str, gradient: Tensor | Product) -> Tensor | Product:
        """A gradient as the weights are stored."""
        if isinstance(gradient, Product):
            return gradient if name in self._across else gradient.value().mT.contiguous()
        return (gradient.mT if name in self._across else gradient).contiguous()

    @property
    def rates(self) -> list[float]:
        """The learning rate of every run's next step."""
        return self._optimizer.rates

    def evaluate(self, split: Split, runs: Sequence[int] | None = None) -> list[Scores]:
        """Return the loss and metric of some runs, or of all, on a split, in evaluation mode."""
        forwards = [self._forward(run) for run in (range(self._size) if runs is None else runs)]
        rows = _FEW if self._is_wide else ROWS
        scores = evaluate(forwards, self._objective, split, rows)
        self._template.train()
        return scores

    def evaluated(self, losses: Sequence[float]) -> None:
        """Take note of every run's validation loss."""
        self._optimizer.evaluated(losses)

    def network(self, run: int) -> nn.Module:
        """Return a copy of one run's network as it is now."""
        network = copy.deepcopy(self._template)
        self._set_p(network, run)
        values = self._values()
        with torch.no_grad():
            for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
                tensor.copy_(values[name][run])
        return network

    def weights(self, run: int) -> Tensors:
        """Return copies of one run's parameters and buffers."""
        return {name: value[run].clone() for name, value in self._values().items()}

    def restore(self, run: int, weights: Tensors) -> None:
        """Give one run parameters and buffers that it had."""
        for name, value in self._values().items():
            value[run].copy_(weights[name])

    def keep(self, runs: Sequence[int]) -> None:
        """Go on with these runs only, and free the memory of the others."""
        before = self.batches
        self._size, self._sources = len(runs), [self._sources[run] for run in runs]
        if not runs:
            return
        chosen = list(runs)
        self._weights = {name: weight[chosen] for name, weight in self._weights.items()}
        self._buffers = {name: buffer[chosen] for name, buffer in self._buffers.items()}
        self._optimizer = self._optimizer.keep(list(self._weights.values()), runs)
        self._p = {path: [p[run] for run in runs] for path, p in self._p.items()}
        self._smoothing, self._entropy = self._smoothing.of(runs), self._entropy.of(runs)
        self._accumulation.keep(runs)
        self._streams.keep(runs)
        self._augmenter = self._augmenter.of([run % before for run in runs[: self.batches]])
        self._program = self._record()

    def _shrinking(self, recipes: Sequence[Recipe]) -> StackedShrinking:
        """How strongly the weights of every run are kept small."""
        kinds = {
            recipe: strengths(self._template, recipe.penalties) for recipe in dict.fromkeys(recipes)
        }
        by_run = [kinds[recipe] for recipe in recipes]
        return StackedShrinking(by_run, list(self._weights), self._example.device)

    def _parameters(self) -> Tensors:
        """The weights as the forward expects them."""
        return {
            name: weight.mT if name in self._across else weight
            for name, weight in self._weights.items()
        }

    def _values(self) -> Tensors:
        return {**self._parameters(), **self._buffers}

    @property
    def _is_wide(self) -> bool:
        """Whether there are convolutions of many channels."""
        on_cpu = self._example.device.type == "cpu"
        return on_cpu and any(w.ndim == 5 and w.shape[1] >= _WIDE for w in self._weights.values())

    def _forward(self, run: int) -> Callable[..., Any]:
        """Return what one run's network computes in evaluation mode."""
        weights = {n: channels_last(value[run], _WIDE) for n, value in self._parameters().items()}
        values = weights | {name: buffer[run] for name, buffer in self._buffers.items()}
        forms = LayoutForms if self._is_wide else nullcontext

        def run_alone(*args: Tensor, **named: Tensor) -> Any:
            self._set_p(self._template, run)
            with forms():
                return call(self._template.eval(), values, named or args)

        return run_alone

    def _set_p(self, network: nn.Module, run: int) -> None:
        for path, p in self._p.items():
            vars(network.get_submodule(path))["p"] = p[run]

    def _record(self) -> Program:
        for path, p in self._p.items():
            vars(self._template.get_submodule(path))["p"] = PerRun(p)
        weights, buffers = self._parameters(), self._buffers
        batch = repeat(_doubled(self._example), self.batches)
        bonus = Bonus(self._objective.confidence, self._entropy.values) if self._entropy else None
        return record(self._template, self._loss, weights, buffers, batch.x, batch.y, bonus)

    def _loss(self, output: Any, target: Any) -> Tensor:
        """The loss of training, inside torch.vmap."""
        return self._objective.loss(output, target, self._smoothing)

    def _check(self, networks: Sequence[nn.Module]) -> None:
        """Make sure that evaluation and the program compute what the runs' networks do."""
        check = Check(self._objective, self._example)
        check.evaluation(self._forward(self._size - 1), networks[-1])
        self._template.train()
        check.step(self._first_steps(networks))

    def _first_steps(self, networks: Sequence[nn.Module]) -> Iterator[FirstStep]:
        """Yield what the program makes of the example, run by run; it changes nothing."""
        batch = repeat(self._example, self.batches)
        masks = Streams(range(self._size), batch.device).draw(self._program.sites)
        before = {name: buffer.clone() for name, buffer in self._buffers.items()}
        losses, gradients = self._program(batch.x, batch.y, masks)
        after = {name: buffer.clone() for name, buffer in self._buffers.items()}
        for name, buffer in self._buffers.items():
            buffer.copy_(before[name])
        for run in reversed(range(self._size)):
            yield FirstStep(
                network=networks[run],
                masks=[mask[run] for mask in masks],
                label_smoothing=self._smoothing.values[run],
                entropy=self._entropy.values[run],
                loss=losses[run],
                gradients={name: _of_run(gradient, run) for name, gradient in gradients.items()},
                buffers={name: buffer[run] for name, buffer in after.items()},
            )


def _of_run(gradient: Tensor | Product, run: int) -> Tensor:
    return gradient.value()[run].mT if isinstance(gradient, Product) else gradient[run]


def _linear_weights(network: nn.Module) -> set[str]:
    """Names of the weights that are stored transposed, for `forms/linear.py`."""
    return {
        f"{path}.weight".removeprefix(".")
        for path, module in network.named_modules()
        if isinstance(module, nn.Linear)
    }


def _stack(networks: Sequence[Tensors]) -> Tensors:
    """Put the runs' tensors behind each other."""
    return {
        name: torch.stack([tensors[name].detach() for tensors in networks]) for name in networks[0]
    }


def _pick(tensors: Mapping[str, Tensor], names: set[str]) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if name in names}


def _doubled(example: Split) -> Split:
    """Return half of the samples, each twice.

    A program is recorded on these and checked on the example: should it hold a value that belongs
    to its batch, the check finds out.
    """
    return example.each(lambda tensor: tensor[torch.arange(len(tensor)) // 2])


def repeat(example: Split, batches: int) -> Split:
    """Return the example as several batches."""
    return example.each(lambda tensor: tensor.expand(batches, *tensor.shape).contiguous())
