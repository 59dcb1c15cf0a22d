"""All edits take an example as a tensor, as positional arguments, or as named ones."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from normwise.edit import (
    edits,
    fold,
    grow,
    insert_drop_connect,
    insert_dropout,
    insert_input_dropout,
    insert_norm,
    mc_predict,
    prune,
    remove_dropout,
    replace_activation,
    replace_norm,
    standardize_weights,
)


class TwoInputs(nn.Module):
    """An image and a vector, of which the second can be left out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.fc1, self.fc2 = nn.Linear(3, 8), nn.Linear(8, 4)
        self.drop, self.head = nn.Dropout(0.2), nn.Linear(8, 2)

    def forward(self, image, vector=None, *, scale=1.0):
        image = F.relu(self.bn(self.conv(image))).mean((2, 3))
        vector = torch.zeros_like(image[:, :3]) if vector is None else vector
        vector = self.drop(torch.relu(self.fc2(torch.relu(self.fc1(vector)))))
        return {"logits": scale * self.head(torch.cat([image, vector], 1))}


IMAGE = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(0))
VECTOR = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
EXAMPLES = {
    "positional": (IMAGE, VECTOR),
    "named": {"image": IMAGE, "vector": VECTOR},
    "with more": {"vector": VECTOR, "image": IMAGE, "scale": 1.0},
}

EDITS = {
    "insert_norm": lambda net, x: insert_norm(net, "layer", x),
    "insert_norm behind": lambda net, x: insert_norm(net, "batch", x, placement="after"),
    "insert_dropout": lambda net, x: insert_dropout(net, 0.3, x),
    "insert_input_dropout": lambda net, x: insert_input_dropout(net, 0.3, x),
    "insert_drop_connect": lambda net, x: insert_drop_connect(net, 0.3, x),
    "replace_activation": lambda net, x: replace_activation(net, "tanh", x),
    "replace_norm": lambda net, x: replace_norm(net, "batch", "rms", x),
    "remove_dropout": remove_dropout,
    "standardize_weights": standardize_weights,
    "prune": lambda net, x: prune(net, x, 0.5),
    "grow": lambda net, x: grow(net, x, 2),
}


def network() -> TwoInputs:
    torch.manual_seed(2)
    net = TwoInputs()
    nn.init.normal_(net.bn.running_mean)
    return net


def outputs(net: nn.Module, example) -> torch.Tensor:
    torch.manual_seed(3)
    net = copy.deepcopy(net).eval()
    called = net(**example) if isinstance(example, dict) else net(*example)
    return called["logits"]


@pytest.mark.parametrize("edit", EDITS)
def test_every_form_of_the_example_gives_the_same_network(edit):
    made = {name: EDITS[edit](network(), x) for name, x in EXAMPLES.items()}
    first = made["positional"]
    assert edits(first)
    for name, net in made.items():
        assert repr(net) == repr(first)
        assert edits(net) == edits(first)
        torch.testing.assert_close(outputs(net, EXAMPLES[name]), outputs(first, (IMAGE, VECTOR)))


@pytest.mark.parametrize("edit", EDITS)
def test_a_named_input_alone(edit):
    net = EDITS[edit](network(), {"image": IMAGE})
    alone = EDITS[edit](network(), IMAGE)
    assert edits(net) == edits(alone)
    assert torch.equal(outputs(net, {"image": IMAGE}), outputs(alone, (IMAGE,)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_folding_and_sampling(name):
    example = EXAMPLES[name]
    net = network()
    folded = fold(net, example)
    called = folded(**example) if isinstance(example, dict) else folded(*example)
    torch.testing.assert_close(called["logits"], outputs(net, example))
    mean, std = mc_predict(net, example, samples=4, seed=1)
    wanted, spread = mc_predict(net, (IMAGE, VECTOR), samples=4, seed=1)
    assert torch.equal(mean["logits"], wanted["logits"])
    assert torch.equal(std["logits"], spread["logits"])
    assert (std["logits"] > 0).any()
