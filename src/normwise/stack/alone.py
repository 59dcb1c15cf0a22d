"""A stack of one: the user's network, trained as it is."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normwise.data import Split
from normwise.samples import Samples, Targets, each, forward
from normwise.stack.augmenting import Augmenter
from normwise.stack.calling import Tensors
from normwise.stack.evaluation import evaluate
from normwise.stack.keeping import of_group
from normwise.stack.objective import Goal, Scores, minimised
from normwise.stack.penalties import Shrinking
from normwise.stack.recipes import Recipe


class Alone:
    """One run, trained with torch's own modules and optimizer.

    Args:
        network: trained in place.
        recipe: how.
        objective: its loss and metric.
        seed: fixes how its batches are augmented.

    Raises:
        UsageError: the recipe is for layers that the network does not have.

    Example:
        >>> import torch
        >>> from normwise.stack import Objective
        >>> stack = Alone(nn.Linear(2, 1), Recipe(lr=0.1), Objective("regression"))
        >>> x, y = torch.rand(1, 8, 2), torch.rand(1, 8)
        >>> losses = [stack.step(x, y).item() for _ in range(20)]
        >>> losses[0] > losses[-1]
        True
    """

    def __init__(self, network: nn.Module, recipe: Recipe, objective: Goal, seed: int = 0) -> None:
        self._network = network.train()
        self._recipe, self._objective = recipe, objective
        self._optimizer = recipe.build(network.parameters())
        self._forget_gradients()
        self._shrinking = Shrinking(network, recipe.penalties)
        self._device = next(network.parameters()).device
        self._augmenter = Augmenter([recipe.augment], [seed], self._device)
        self._autocast = recipe.autocast(self._device)
        self._batches_seen: tuple[Samples, Targets] = (), {}
        self._batch_seen: tuple[Samples, Targets] = (), {}
        self._dial = recipe.dial()
        self._set_dial()
        self._size, self._batches = 1, 0

    @property
    def size(self) -> int:
        """One, or none once the run has left."""
        return self._size

    @property
    def batches(self) -> int:
        """As many as runs."""
        return self._size

    def step(self, x: Samples, y: Targets) -> Tensor:
        """Let the network learn from the one batch in `x` and `y`; return its loss, shape (1,)."""
        recipe = self._recipe
        x, y = self._only_batch(self._augmenter(x), y)
        with self._autocast:
            output = forward(self._network, x)
            settings = recipe.label_smoothing, recipe.entropy
            loss, whole = minimised(self._objective, output, y, *settings)
        (whole / recipe.accumulate if recipe.accumulate > 1 else whole).backward()
        self._batches += 1
        if self._batches % recipe.accumulate == 0:
            self._update()
        return loss.detach()[None]

    def _only_batch(self, x: Samples, y: Targets) -> tuple[Samples, Targets]:
        """Return views of the one batch, which are made once where it always is in one place."""
        if x is not self._batches_seen[0] or y is not self._batches_seen[1]:
            self._batches_seen = x, y
            self._batch_seen = each(x, _only), each(y, _only)
        return self._batch_seen

    def _forget_gradients(self) -> None:
        """Do what the optimizer's `zero_grad` does, which takes longer: it can be profiled."""
        for parameter in self._settings["params"]:
            parameter.grad = None

    def _update(self) -> None:
        """Take a step of the optimizer."""
        if self._shrinking:
            self._shrinking.add_gradients()
        if self._recipe.clip is not None:
            nn.utils.clip_grad_norm_(self._network.parameters(), self._recipe.clip)
        if self._shrinking:
            self._shrinking.decay(self._settings["lr"])
        self._optimizer.step()
        self._forget_gradients()
        if self._dial is not None:
            self._dial.step()
            self._set_dial()

    @property
    def rates(self) -> list[float]:
        """The learning rate of the next step."""
        return [self._settings["lr"]]

    def evaluate(self, split: Split, runs: Sequence[int] | None = None) -> list[Scores]:
        """Return loss and metric on a split."""
        if not self._size or runs == []:
            return []
        self._network.eval()
        scores = evaluate([self._network], self._objective, split)
        self._network.train()
        return scores

    def evaluated(self, losses: Sequence[float]) -> None:
        """Take note of the validation loss."""
        if self._dial is not None:
            self._dial.evaluated(losses[0])
            self._set_dial()

    def _set_dial(self) -> None:
        if self._dial is not None:
            self._dial.set(self._settings)

    @property
    def _settings(self) -> dict[str, Any]:
        return self._optimizer.param_groups[0]

    def network(self, run: int) -> nn.Module:  # noqa: ARG002
        """Return the network."""
        return self._network

    def weights(self, run: int) -> Tensors:  # noqa: ARG002
        """Return copies of the network's parameters and buffers."""
        return {name: tensor.detach().clone() for name, tensor in self._tensors()}

    def restore(self, run: int, weights: Tensors) -> None:  # noqa: ARG002
        """Give the network parameters and buffers that it had."""
        with torch.no_grad():
            for name, tensor in self._tensors():
                tensor.copy_(weights[name])

    def keep(self, runs: Sequence[int]) -> None:
        """Go on, or stop."""
        self._size = len(runs)

    def state(self) -> Tensors:
        """Return the tensors of the network and its optimizer, as copies."""
        optimizer = {
            f"optimizer/{place}/{name}": value.detach().clone()
            for place, state in self._optimizer.state_dict()["state"].items()
            for name, value in state.items()
            if isinstance(value, Tensor)
        }
        gradients = {
            f"gradient/{name}": p.grad.clone()
            for name, p in self._network.named_parameters()
            if p.grad is not None  # between the batches of one step of the optimizer
        }
        network = {f"network/{name}": tensor for name, tensor in self.weights(0).items()}
        return optimizer | gradients | network | {"augment": self._augmenter.states[0]}

    def load_state(self, tensors: Tensors, steps: int, losses: Mapping[int, float]) -> None:
        """Take a state; the schedule is gone through again up to there."""
        self.restore(0, of_group(tensors, "network"))
        states: dict[int, Tensors] = {}
        for name, value in of_group(tensors, "optimizer").items():
            place, _, key = name.partition("/")
            states.setdefault(int(place), {})[key] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": states, "param_groups": groups})
        gradients = of_group(tensors, "gradient")
        for name, parameter in self._network.named_parameters():
            parameter.grad = gradients.get(name)
        self._augmenter.states = [tensors["augment"]]
        self._batches = steps
        self._go_through(steps, losses)

    def _go_through(self, steps: int, losses: Mapping[int, float]) -> None:
        """Turn the dial as in a training of so many batches."""
        if self._dial is not None:
            for step in range(1, steps + 1):
                if step % self._recipe.accumulate == 0:
                    self._dial.step()
                if step in losses:
                    self._dial.evaluated(losses[step])
            self._set_dial()

    def _tensors(self) -> list[tuple[str, Tensor]]:
        return [*self._network.named_parameters(), *self._network.named_buffers()]


def _only(batches: Tensor) -> Tensor:
    return batches[0]
