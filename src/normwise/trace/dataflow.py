"""Which layer feeds which activation, found by following the tensors of one real forward pass.

Nothing is guessed from the order of the modules: a function mode sees every torch function that the
network calls, a hook on every module tells which layer and which norm is at work, and each tensor
remembers where it came from. So any network that runs can be traced, whatever its control flow,
and activations called as functions count like those that are modules.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from normwise.trace.call import Call
from normwise.trace.functions import NORM_TYPES
from normwise.trace.recorder import Recorder
from normwise.trace.records import Activation, Trace
from normwise.trace.undisturbed import undisturbed

Observer = Callable[[Activation, Tensor, Tensor], None]


def trace(
    network: nn.Module, example: Any, observe: Observer | None = None, *, dropout: bool = True
) -> Trace:
    """Run a network once in training mode and tell which layer feeds which activation.

    Pooling, reshaping, norms, dropout and sums between a layer and its activation are seen
    through; recurrent layers, attention and products with a weight are not. The network is left as
    it was: parameters, buffers, modes, hooks and random state.

    Args:
        network: any module that runs on `example`.
        example: one batch of inputs, a tensor, a tuple of arguments or a dict of named ones; norms
            over the batch need at least two samples.
        observe: called with each hidden activation, its input and its output, in order of use and
            once the pass has ended. The tensors are the pass's own: in-place activations cannot
            have overwritten them.
        dropout: False runs everything in evaluation mode but the norms, which still use the
            statistics of the batch.

    Returns:
        The layers, and the activations and norms of hidden layers.

    Raises:
        UsageError: `example` is none.
        Exception: whatever the network raises on it.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> found = trace(net, torch.randn(2, 4))
        >>> [layer.path for layer in found.hidden], found.activations[0].name
        (['0'], 'relu')
    """
    call = Call.of(example).copied()  # an in-place activation may come first
    recorder = Recorder(network, call.tensors, keep_values=observe is not None)
    with undisturbed(network), torch.no_grad(), recorder.hooks():
        network.train()
        if not dropout:
            _only_norms_in_training(network)
        with recorder:
            network(*call.args, **call.kwargs)
    if observe is not None:
        for activation, before, after in recorder.values():
            observe(activation, before, after)
    return recorder.result()


def _only_norms_in_training(network: nn.Module) -> None:
    norms = [m for m in network.modules() if isinstance(m, NORM_TYPES) and m.training]
    network.eval()
    for norm in norms:
        norm.training = True  # its own mode, not that of what it hosts
