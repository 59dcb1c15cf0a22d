"""Recurrent layers of many runs, step by step, against torch's own kernels."""

from typing import Any

import pytest
from torch import Tensor, nn
from torch.func import functional_call

KINDS: dict[str, tuple[type[nn.RNNBase], dict[str, Any]]] = {
    "lstm": (nn.LSTM, {}),
    "gru": (nn.GRU, {}),
    "rnn": (nn.RNN, {}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"batch_first": True, "bias": False},
    {"num_layers": 2, "bidirectional": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_layers(kind: str, options: dict[str, Any], agree: Any, draw: Any):
    layer, more = KINDS[kind]
    module = layer(3, 4, **options, **more).double()
    names = [name for name, _ in module.named_parameters()]
    directions = (2 if options.get("bidirectional") else 1) * options.get("num_layers", 1)

    def function(x: Tensor, h: Tensor, c: Tensor, *weights: Tensor) -> list[Tensor]:
        start = (h, c) if kind == "lstm" else h
        values = dict(zip(names, weights, strict=True))
        out, last = functional_call(module, values, (x, start))
        return [out, *(last if isinstance(last, tuple) else (last,)), c.sum()]

    states = [draw(3, directions, 2, 4) for _ in "hc"]
    weights = [draw(3, *weight.shape) for weight in module.parameters()]
    x = draw(3, 2, 5, 3) if options.get("batch_first") else draw(3, 5, 2, 3)
    agree(function, x, *states, *weights, vmap=False)


def test_long_sequences_are_left_to_torch(draw: Any, agree: Any):
    module = nn.LSTM(1, 2).double()
    with pytest.raises(RuntimeError, match="lstm"):
        agree(lambda x: module(x)[0], draw(3, 33, 1, 1))
