"""Several inputs and several heads: the losses add up, and a run in a stack is the run alone."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normwise.data import Data, Head, Split
from normwise.errors import UsageError
from normwise.stack import Heads, Objective, Penalty, Recipe, goal_of, seeded

KIND, SIZE = Objective("classes"), Objective("regression")


class TwoOfBoth(nn.Module):
    """Takes an image and numbers, by name, and tells a kind and a size."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.BatchNorm1d(6))
        self.numbers = nn.Linear(2, 6)
        self.kind, self.size = nn.Linear(6, 3), nn.Linear(6, 1)

    def forward(self, image: Tensor, numbers: Tensor) -> dict[str, Tensor]:
        features = torch.relu(self.image(image) + self.numbers(numbers))
        return {"kind": self.kind(features), "size": self.size(features)}


def make(form: Callable[[Tensor, Tensor], object]) -> Data:
    draw = torch.Generator().manual_seed(3)
    splits = []
    for n in (48, 20, 20):
        image = torch.randn(n, 1, 3, 3, generator=draw).double()
        numbers = torch.randn(n, 2, generator=draw).double()
        size = image.sum((1, 2, 3)) + numbers[:, 0]
        kind = torch.bucketize(size, torch.tensor([-1.0, 1.0]).double())
        splits.append(Split(form(image, numbers), {"kind": kind, "size": size}))  # type: ignore
    heads = {"kind": Head("classes", 3), "size": Head("regression")}
    return Data("made", *splits, task="heads", heads=heads)


FORMS = {
    "by name": lambda image, numbers: {"numbers": numbers, "image": image},
    "by position": lambda image, numbers: (image, numbers),
}


def test_the_loss_is_the_weighted_sum_of_the_heads_losses():
    kind, size = torch.randn(4, 3), torch.randn(4, 1)
    labels, values = torch.tensor([0, 2, 1, 1]), torch.randn(4)
    heads = Heads({"kind": KIND, "size": SIZE}, {"size": 0.25})
    found = heads.loss({"kind": kind, "size": size}, {"kind": labels, "size": values}, 0.1)
    smoothed = F.cross_entropy(kind, labels, label_smoothing=0.1)
    assert found.item() == pytest.approx(
        (smoothed + 0.25 * F.mse_loss(size[:, 0], values)).item(), rel=1e-6
    )


def test_the_entropy_is_that_of_the_heads_with_classes():
    kind, size = torch.randn(4, 3).double(), torch.randn(4, 1).double()
    heads = Heads({"kind": KIND, "size": SIZE}, {"kind": 0.25})
    target = {"kind": torch.tensor([0, 2, 1, 1]), "size": torch.randn(4)}
    found = heads.confidence({"kind": kind, "size": size}, target)
    entropy = torch.distributions.Categorical(logits=kind).entropy().mean()
    assert found.item() == pytest.approx(-0.25 * entropy.item(), rel=1e-12)
    with pytest.raises(UsageError, match="no head predicts any"):
        Heads({"size": SIZE}).confidence({"size": size}, {"size": target["size"]})


def test_the_score_is_the_mean_of_the_heads_metrics():
    heads = Heads({"kind": KIND, "size": SIZE})
    output = {"kind": torch.eye(4)[[0, 2, 1, 3]], "size": torch.tensor([[0.0], [1], [2], [4]])}
    target = {"kind": torch.tensor([0, 2, 1, 0]), "size": torch.tensor([0.0, 1, 2, 3])}
    parts = [
        heads.tally(*({n: t[rows] for n, t in each.items()} for each in (output, target)))
        for rows in (slice(2), slice(2, 4))
    ]
    score, each = heads.score(parts, target)
    assert each == {"kind_acc": 0.75, "size_r2": pytest.approx(1 - 1 / 5)}
    assert score == pytest.approx((0.75 + 0.8) / 2)


def test_a_metric_of_the_users_own_sees_all_outputs_at_once():
    def largest_error(output: Tensor, target: Tensor) -> Tensor:
        return -(output[:, 0] - target).abs().max()

    objective = Objective("regression", metric=largest_error)
    output, target = torch.tensor([[1.0], [5.0], [2.0]]), torch.tensor([1.0, 2.0, 2.0])
    tallies = [objective.tally(output[:1], target[:1]), objective.tally(output[1:], target[1:])]
    assert objective.metric == "largest_error"
    assert objective.score(tallies, target) == (-3.0, {})


def test_the_data_tell_the_goal():
    goal = goal_of(make(FORMS["by name"]), {"size": "l1_loss"}, loss_weights={"kind": 2.0})
    output = {"kind": torch.zeros(2, 3), "size": torch.zeros(2, 1)}
    target = {"kind": torch.tensor([0, 1]), "size": torch.tensor([3.0, -5.0])}
    expected = 2 * torch.log(torch.tensor(3.0)) + 4
    assert goal.loss(output, target).item() == pytest.approx(expected.item(), rel=1e-6)
    assert goal.metric == "score"


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_run_in_a_stack_is_the_run_alone(form, tools):
    data = make(form)

    def network(seed: int) -> nn.Module:
        with seeded(seed):
            return TwoOfBoth().double()

    recipes = [Recipe("adam", lr=lr) for lr in (0.01, 0.02)]
    recipes.append(Recipe("adam", lr=0.02, entropy=0.1, l2=Penalty(0.01, "image*")))
    tools.agree(network, recipes, data, objective=goal_of(data, loss_weights={"size": 0.5}))
