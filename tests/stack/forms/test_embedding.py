"""Embeddings with a row for padding, against one run after another."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.data import Split
from normwise.stack import Objective, Recipe, Stacked
from normwise.stack.forms.embedding import embedding

IDS = torch.tensor([[[0, 2, 2], [3, 0, 1]], [[1, 1, 0], [0, 3, 2]], [[3, 3, 3], [2, 1, 0]]])


@pytest.mark.parametrize("padding", [0, 3, -2])
@pytest.mark.parametrize("dim", [0, None])
def test_the_row_for_padding_gets_no_gradient(agree: Any, draw: Any, padding: int, dim: int | None):
    ids = IDS if dim == 0 else IDS[0]
    # torch.vmap itself is no reference: it gives that row a gradient.
    agree(
        lambda ids, weight: F.embedding(ids, weight, padding),
        *(ids, draw(3, 4, 5)),
        dims=[dim, 0],
        vmap=False,
    )


def test_what_else_an_embedding_may_do_is_left_to_torch(agree: Any, draw: Any):
    agree(lambda ids, weight: F.embedding(ids, weight), IDS, draw(3, 4, 5))


@pytest.mark.parametrize(
    "option", [{"max_norm": 1.0}, {"scale_grad_by_freq": True}, {"sparse": True}]
)
def test_options_are_not_passed_over(option: dict[str, Any]):
    assert embedding(IDS, torch.ones(4, 5), padding_idx=0, **option) is NotImplemented


def test_networks_that_pad_train_as_a_stack():
    def network() -> nn.Module:
        return nn.Sequential(nn.Embedding(6, 3, padding_idx=0), nn.Flatten(), nn.Linear(12, 2))

    x = torch.randint(6, (8, 4), generator=torch.Generator().manual_seed(0))
    example = Split(x * (torch.arange(4) < 3), torch.arange(8) % 2)
    networks = [network().double() for _ in range(3)]
    stack = Stacked(networks, [Recipe(lr=0.5)] * 3, Objective("classes"), [0, 1, 2], example)
    batch = example.x.expand(3, 8, 4), example.y.expand(3, 8)
    for _ in range(5):
        stack.step(*batch)
    for run, alone in enumerate(networks):
        optimizer = torch.optim.SGD(alone.parameters(), lr=0.5)
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(alone(example.x), example.y).backward()
            optimizer.step()
        for name, weight in alone.state_dict().items():
            torch.testing.assert_close(stack.weights(run)[name], weight, rtol=1e-12, atol=1e-12)
