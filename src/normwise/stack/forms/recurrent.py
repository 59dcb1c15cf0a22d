"""torch.lstm, gru and rnn of many runs, step by step: torch.vmap knows none of them.

Shapes: L time steps, N samples, I inputs, H hidden units.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms.dropout import Masks
from normwise.stack.forms.linear import linear

_LONGEST = 32  # time steps; the program of more takes longer to record than it saves

States = tuple[Tensor, ...]
Cell = Callable[[Tensor, Tensor, States], States]


def recurrent(kind: Callable[..., Any], masks: Masks, *args: Any) -> tuple[Tensor, ...]:
    """Stand for `kind`, which is in `CELLS`; packed and long sequences are left to torch."""
    if len(args) != 9 or not isinstance(args[3], bool):
        return NotImplemented
    x, start, weights, has_biases, layers, p, training, bidirectional, batch_first = args
    directions = 2 if bidirectional else 1
    count = 4 if has_biases else 2
    if len(weights) != count * layers * directions:  # projections
        return NotImplemented
    starts = start if isinstance(start, tuple | list) else (start,)
    x = x.transpose(0, 1) if batch_first else x
    if len(x) > _LONGEST:
        return NotImplemented
    last: list[States] = []
    for layer in range(layers):
        outs = []
        for direction in range(directions):
            position = layer * directions + direction
            ours = weights[count * position : count * (position + 1)]
            states = tuple(each[position] for each in starts)
            out, states = _run(CELLS[kind], x, ours, states, backwards=direction == 1)
            outs.append(out)
            last.append(states)
        x = torch.cat(outs, -1) if bidirectional else outs[0]
        if layer < layers - 1 and p > 0:
            x = masks.dropout(F.dropout, x, p, training)
    x = x.transpose(0, 1) if batch_first else x
    return x, *(torch.stack(states) for states in zip(*last, strict=True))


def has_dropout(*args: Any) -> bool:
    """Tell whether a call of a function in `CELLS` drops anything between its layers."""
    return len(args) == 9 and args[4] > 1 and args[5] > 0 and args[6] is True


def _run(
    cell: Cell, x: Tensor, weights: Sequence[Tensor], states: States, *, backwards: bool
) -> tuple[Tensor, States]:
    """One layer in one direction: from x (L, N, I) to its outputs (L, N, H) and last states."""
    (w_x, w_h), (b_x, b_h) = weights[:2], weights[2:] or (None, None)
    inputs = linear(x, w_x, b_x).unbind(0)
    outs = []
    for input in reversed(inputs) if backwards else inputs:
        states = cell(input, linear(states[0], w_h, b_h), states)
        outs.append(states[0])
    return torch.stack(outs[::-1] if backwards else outs), states


def _lstm(x: Tensor, h: Tensor, states: States) -> States:
    i, f, g, o = (x + h).chunk(4, -1)
    c = f.sigmoid() * states[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def _gru(x: Tensor, h: Tensor, states: States) -> States:
    (x_r, x_z, x_n), (h_r, h_z, h_n) = x.chunk(3, -1), h.chunk(3, -1)
    new = (x_n + (x_r + h_r).sigmoid() * h_n).tanh()
    return ((states[0] - new) * (x_z + h_z).sigmoid() + new,)


def _rnn_tanh(x: Tensor, h: Tensor, states: States) -> States:  # noqa: ARG001
    return ((x + h).tanh(),)


def _rnn_relu(x: Tensor, h: Tensor, states: States) -> States:  # noqa: ARG001
    return ((x + h).relu(),)


CELLS: dict[Callable[..., Any], Cell] = {
    torch.lstm: _lstm,
    torch.gru: _gru,
    torch.rnn_tanh: _rnn_tanh,
    torch.rnn_relu: _rnn_relu,
}
