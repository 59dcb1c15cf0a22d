"""Predict with dropout switched on, many times over."""

from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from normwise.edit.given import check_network
from normwise.edit.sampling import Moments, sampling
from normwise.errors import UsageError
from normwise.trace import Call


@overload
def mc_predict(
    model: nn.Module,
    x: Any,
    samples: int = 50,
    seed: int = 0,
    *,
    return_samples: Literal[False] = False,
) -> tuple[Any, Any]: ...
@overload
def mc_predict(
    model: nn.Module, x: Any, samples: int = 50, seed: int = 0, *, return_samples: Literal[True]
) -> tuple[Any, Any, Any]: ...
def mc_predict(
    model: nn.Module,
    x: Any,
    samples: int = 50,
    seed: int = 0,
    *,
    return_samples: bool = False,
) -> tuple[Any, ...]:
    """Predict with dropout as an ensemble: the mean and spread over random masks.

    The network is in evaluation mode, with norms on their running statistics, but for the parts
    that draw random numbers in training: dropout of every kind, modules and functions, in
    attention, between recurrent layers and of weights. Every sample has masks of its own, as if
    the network were called `samples` times; but it is called as few times as memory allows, with
    the samples of a pass as one more axis of its tensors (`torch.vmap`), which what comes before
    the first dropout does not have. A network that cannot be called in this way, such as one whose
    control flow depends on its values, is called once per sample.

    Under some assumptions the samples are draws from an approximate posterior (Gal & Ghahramani,
    *Dropout as a Bayesian Approximation*, 2016). For probabilities average these and not logits:
    put an `nn.Softmax(-1)` behind the network.

    Args:
        model: any network with dropout; left as it was: values, modes, random state.
        x: one batch: a tensor, or a tuple or dict of arguments.
        samples: how many predictions. Default: 50
        seed: of the masks. The same seed gives the same result on the same machine.
        return_samples: return the predictions themselves, too.

    Returns:
        Mean and standard deviation (with Bessel's correction) of what the network returns, with
        its tensors, lists and dicts in their places; and, if asked for, the predictions, with the
        samples as first axis. Integers and truth values become floats; what is no tensor is
        returned as it is.

    Raises:
        UsageError: the network does not run on `x`, nothing in it draws random numbers in
            training, `samples` is below 2 or not whole, or the network returns no tensors.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
        >>> mean, std = mc_predict(net, torch.randn(5, 4), samples=100)
        >>> mean.shape, bool((std > 0).all())
        (torch.Size([5, 3]), True)
    """
    check_network(model)
    if samples < 2 or samples != int(samples):
        raise UsageError(
            f"samples={samples}: a spread needs at least two predictions, a whole number of them"
        )
    moments: list[Moments] = []
    kept: list[list[Tensor]] = []
    with sampling(model, Call.of(x)) as passes:
        for outputs in passes.draw(samples, seed):
            moments = moments or [Moments() for _ in outputs]
            for its, values in zip(moments, outputs, strict=True):
                its.add(values)
            if return_samples:
                kept.append(outputs)
    results = [[its.mean for its in moments], [its.std for its in moments]]
    if return_samples:
        results.append([torch.cat(blocks) for blocks in zip(*kept, strict=True)])
    return tuple(passes.arranged(tensors) for tensors in results)
