import pytest
import torch
from torch import nn

from normwise.study.networks import mlp


@pytest.mark.parametrize(
    ("task", "outputs"), [("classes", 3), ("binary", 2), ("regression", 1), ("outputs", 2)]
)
def test_it_is_the_classic_perceptron(task: str, outputs: int, data):
    loaded = data(task)
    network = mlp(loaded)()
    shapes = [tuple(p.shape) for p in network.parameters()]
    assert shapes == [(48, 6), (48,), (24, 48), (24,), (outputs, 24), (outputs,)]
    first, second, last = [m for m in network if isinstance(m, nn.Linear)]
    x = loaded.train.x
    torch.testing.assert_close(network(x), last(torch.relu(second(torch.relu(first(x))))))


def test_images_are_flattened_and_widths_can_be_chosen(data):
    loaded = data("classes")
    images = loaded.train.x.view(-1, 1, 2, 3)
    network = mlp(loaded, hidden=(5,))()
    assert torch.equal(network(images), network(loaded.train.x))
    assert network[1].out_features == 5
