"""The network that a study takes when the user names none."""

from torch import Tensor, nn

from normwise.data import Data
from normwise.errors import UsageError
from normwise.study.variants import Factory


def mlp(data: Data, hidden: tuple[int, ...] = (48, 24)) -> Factory:
    """Return a factory of the classic perceptron: inputs, 48, 24, outputs, with ReLU.

    Args:
        data: tells the number of inputs and outputs.
        hidden: widths of the hidden layers.

    Raises:
        UsageError: the data has several inputs or heads.

    Example:
        >>> from normwise.data import load
        >>> [layer.out_features for layer in mlp(load("digits"))() if hasattr(layer, "weight")]
        [48, 24, 10]
    """
    x, y = data.train.single, data.train.y
    if not isinstance(y, Tensor):
        raise UsageError("the perceptron has one output, and this data has heads: name a network")
    inputs = x[0].numel()
    outputs = data.classes or y[0].numel()

    def mlp() -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        for width_in, width_out in zip((inputs, *hidden), hidden, strict=False):
            layers += [nn.Linear(width_in, width_out), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear((inputs, *hidden)[-1], outputs))

    return mlp
