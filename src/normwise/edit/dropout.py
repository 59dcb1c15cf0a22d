"""Insert dropout after every hidden activation, or before the first layers."""

from torch import Tensor, nn

from normwise.edit.hosting import host_after, host_before
from normwise.edit.own import Ownership
from normwise.errors import Problems, UsageError
from normwise.trace import FUNCTION, Activation, trace


def insert_dropout(network: nn.Module, p: float, example: Tensor) -> nn.Module:
    """Zero the outputs of every hidden activation with probability `p` in training.

    Which activations those are is found by following one forward pass on `example`; the head is
    left alone. Where dropout follows an activation already, it gets this `p`. Kept values are
    divided by `1 - p`, so the expected output is the same in training and evaluation (Srivastava
    et al. 2014; `nn.Dropout`).

    Args:
        network: changed in place; left as it was if anything is refused.
        p: probability of an element to be zeroed, in [0, 1).
        example: a batch of at least two inputs that the network runs on.

    Returns:
        The network.

    Raises:
        UsageError: `p` is out of range, there is no hidden activation, or one is called as a
            function in a forward that cannot be traced.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> insert_dropout(net, 0.2, torch.randn(2, 4))[1]
        ReLU(
          (dropout): Dropout(p=0.2, inplace=False)
        )
    """
    _check_p("dropout", p)
    found = trace(network, example)
    if not found.activations:
        raise UsageError(
            f"no place for dropout={p}: in this network no layer feeds an activation and then "
            "another layer; input-dropout would work"
        )
    problems = Problems()
    problems.add(*(_fixed(a) for a in found.places if a.dropout == FUNCTION))
    bare = [activation for activation in found.places if activation.dropout is None]
    own = Ownership(network, found, bare, example, problems)
    problems.raise_if_any()
    for host in own.commit():
        host_after(host, "dropout", nn.Dropout(p))
    for path in {activation.dropout for activation in found.places} - {None}:
        vars(network.get_submodule(str(path)))["p"] = p
    return network


def insert_input_dropout(network: nn.Module, p: float, example: Tensor) -> nn.Module:
    """Zero the inputs of the network's first layers with probability `p` in training.

    Args:
        network: changed in place; left as it was if anything is refused.
        p: probability of an element to be zeroed, in [0, 1).
        example: a batch of at least two inputs that the network runs on.

    Returns:
        The network.

    Raises:
        UsageError: `p` is out of range, or no Linear or convolution sees a floating-point input.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> insert_input_dropout(net, 0.1, torch.randn(2, 4))[1].input_dropout
        Dropout(p=0.1, inplace=False)
    """
    _check_p("input-dropout", p)
    first = [layer for layer in trace(network, example).layers.values() if layer.first]
    if not first or not example.is_floating_point():
        raise UsageError(
            f"no place for input-dropout={p}: no Linear or convolution of this network sees the "
            f"input ({example.dtype}) as floating-point values; dropout=P would work where there "
            "are hidden activations"
        )
    for layer in first:
        host_before(layer.module, "input_dropout", nn.Dropout(p))
    return network


def _check_p(word: str, p: float) -> None:
    if not 0 <= p < 1:
        raise UsageError(f"{word}={p}: the probability to zero an element lies in [0, 1)")


def _fixed(activation: Activation) -> str:
    return (
        f"the {activation.name} after {', '.join(activation.layers)} is followed by a dropout that "
        "is called as a function, whose p cannot be set: make it an nn.Dropout, or pass your "
        "changed network as a variant"
    )
