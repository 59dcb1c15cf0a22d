"""Drop residual branches at random: stochastic depth."""

from typing import Any

import torch
from torch import nn

from normwise.edit.dropout_kinds import check_p
from normwise.edit.editing import editing, running
from normwise.edit.given import check_network
from normwise.edit.hosting import host_after
from normwise.edit.log import Edit
from normwise.edit.probing import probe, same
from normwise.errors import UsageError
from normwise.layers import StochasticDepth
from normwise.trace import Branch, Call, branches


def insert_drop_path(network: nn.Module, p: float, example: Any) -> nn.Module:
    """Drop residual branches in training, each for a sample at a time: stochastic depth.

    A residual branch is what is added to a tensor that it was computed from, of the same shape: b
    in a + b, where b depends on a, as one forward pass on `example` shows. The module that ends it
    gets a `layers.StochasticDepth` on its output; one that stands there already gets a new `p`.
    Over the branches `p` grows linearly, up to the `p` that is asked for at the last, and to 0
    where a branch before the first would be (Huang et al., *Deep Networks with Stochastic Depth*,
    2016). Who puts the module that ends a branch into evaluation mode stops the dropping, but
    `freeze_norm` does not. A sum with a projected shortcut, whose parts do not depend on each
    other, stays as it is. The outputs in evaluation mode are compared before and after, bit for
    bit. `edits` tells what was done where.

    Args:
        network: changed in place; left as it was if anything is refused.
        p: probability that the last branch is dropped for a sample, in [0, 1).
        example: a batch of at least two inputs, samples first: a tensor, or a tuple or dict of
            arguments.

    Returns:
        The network.

    Raises:
        UsageError: `p` is out of range, there is no residual branch, or one cannot be dropped
            where it ends: it ends in a function (relu, leaky_relu and dropout, which scale with
            what they are given, may follow its last module), in a module or an output that is
            used elsewhere too, or its first axis does not count the samples.

    Example:
        >>> encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        >>> insert_drop_path(encoder, 0.2, torch.randn(2, 5, 8)).dropout2
        Dropout(
          p=0.1, inplace=False
          (drop_path): StochasticDepth(p=0.2, inplace=False, mode='row')
        )
    """
    check_network(network)
    check_p("droppath", p)
    found = _found(network, example, p)
    before = probe(network, example, modes=(False,))
    with editing(network, example) as made:
        for number, branch in enumerate(found, start=1):
            made.append(_drop(network, branch, p * number / len(found), f"insert_drop_path p={p}"))
        if not same(before, probe(network, example, modes=(False,))):
            raise UsageError(
                f"droppath={p} changes what this network computes in evaluation mode, so nothing "
                "was changed: does its forward read the modules that end its branches?"
            )
    return network


def _found(network: nn.Module, example: Any, p: float) -> tuple[Branch, ...]:
    """Return the branches, all of which can be dropped."""
    call = Call.of(example)
    with running(call, "training"):
        found = branches(network, call)
        longer = branches(network, call.resized(lambda tensor: torch.cat([tensor, tensor[:1]])))
    if not found:
        raise UsageError(
            f"no place for droppath={p}: this network has no residual branch, nowhere is a tensor "
            "added to one that it was computed from; dropout=P would work where there are hidden "
            "activations"
        )
    unfit = {
        f"a residual branch in {branch.place or 'the network'}: {reason}"
        for branch, other in zip(found, longer, strict=True)
        if (reason := branch.unfit or _axis(branch, other, call.size))
    }
    if unfit:
        raise UsageError(
            f"no place for droppath={p}: {'; '.join(sorted(unfit))}. Let every branch end in a "
            "module of its own, or pass your changed network as a variant"
        )
    return found


def _axis(branch: Branch, longer: Branch, samples: int) -> str:
    """Say what is wrong where the first axis does not grow with the batch."""
    if (branch.shape[:1], longer.shape[:1]) == ((samples,), (samples + 1,)):
        return ""
    return f"its shape is {branch.shape}, whose first axis does not count the samples"


def _drop(network: nn.Module, branch: Branch, p: float, edit: str) -> Edit:
    assert branch.path is not None
    end = network.get_submodule(branch.path)
    if isinstance(end, StochasticDepth):
        former, end.p = end.p, p
        return Edit(edit, branch.path, f"p={p:.3g}, which was {former:.3g}")
    host_after(end, "drop_path", StochasticDepth(p))
    return Edit(edit, branch.path, f"StochasticDepth(p={p:.3g}) on its output, a residual branch")
