"""`nw.check`: what is wrong with a network, judged by a few steps on the side."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from normwise.errors import UsageError
from normwise.evidence import probe
from normwise.references import explain
from normwise.rules.engine import diagnose
from normwise.rules.finding import Findings
from normwise.rules.registry import all_rules
from normwise.rules.selection import read_selection
from normwise.stack import Objective

STEPS = 8

Loss = Callable[[Any, Any], Tensor]


def check(
    model: nn.Module,
    batch_or_loader: Any,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    *,
    steps: int = STEPS,
    select: str | Sequence[str] | None = None,
    ignore: str | Sequence[str] = (),
    baseline: str | os.PathLike[str] | None = None,
) -> Findings:
    """Look for faults in a network: its structure, one forward and backward pass, a few steps.

    Everything runs on the side: network, optimizer, gradients and random state are left as they
    were.

    Args:
        model: any module.
        batch_or_loader: a tensor; a tuple or list of tensors, inputs and then a target; a mapping
            of keyword arguments; or an iterable of such batches.
        loss: of output and target; by default cross-entropy for integer targets and the mean
            squared error for others.
        optimizer: of the model; with it a few steps are made, which some rules need.
        steps: batches to run.
        select: codes of rules, or beginnings of codes (`NRM`), in a list or joined by commas; all
            by default.
        ignore: likewise; `CODE@PATTERN: REASON` ignores a rule at some places.
        baseline: a file of known findings, see `write_baseline`.

    Returns:
        The findings, the worst first. Their `clean` names the rules that found nothing, their
        `unanswered` those that could not tell.

    Raises:
        UsageError: an option makes no sense, there are no batches, the model does not run, or the
            loss does not take what it gives.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1))
        >>> batch = torch.randn(64, 4), torch.randint(0, 3, (64,))
        >>> [finding.code for finding in check(net, batch, select="LOS101")]
        ['LOS101']
    """
    selection = read_selection(all_rules(), select, ignore, baseline)
    batches = _batches(batch_or_loader, steps)
    loss = loss or _default_loss(batches[0])
    try:
        evidence = probe(model, batches, None if loss is None else _explained(loss), optimizer)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"the model does not run on the given batch, {_told(batches[0])}: "
            f"{explain(error).rstrip('.')}. It is unchanged"
        ) from error
    return diagnose(evidence, selection)


def _explained(loss: Loss) -> Loss:
    """Return the loss, which blames itself and not the model for what it does not take."""

    def explained(output: Any, target: Any) -> Tensor:
        try:
            return loss(output, target)
        except Exception as error:
            raise UsageError(
                f"the loss does not take the model's output, {_told(output)}, with the target, "
                f"{_told(target)}: {explain(error).rstrip('.')}"
            ) from error

    return explained


def _told(value: Any) -> str:
    """Say what something is, or consists of."""
    leaves = tree_leaves(value)
    shapes = [str(tuple(leaf.shape)) for leaf in leaves if isinstance(leaf, Tensor)]
    kind = "a tensor" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    return (
        f"{kind} of shape{'s' if len(shapes) > 1 else ''} {', '.join(shapes)}" if shapes else kind
    )


def _batches(given: Any, steps: int) -> list[Any]:
    if steps < 1:
        raise UsageError(f"steps={steps}: at least one batch is needed")
    if _is_batch(given):
        return [given] * steps
    if not isinstance(given, Iterable):
        raise UsageError(
            f"the batch is a {type(given).__name__}: pass a tensor, inputs and a target, a mapping "
            "of keyword arguments, or a loader of these"
        )
    batches = list(islice(given, steps))
    if not batches:
        raise UsageError("the loader gives no batch")
    return batches


def _is_batch(given: Any) -> bool:
    if isinstance(given, tuple | list):
        return bool(given) and all(isinstance(each, Tensor) for each in given)
    return isinstance(given, Tensor | Mapping)


def _default_loss(batch: Any) -> Loss | None:
    if not isinstance(batch, tuple | list) or len(batch) < 2 or not isinstance(batch[-1], Tensor):
        return None
    whole = not batch[-1].is_floating_point()
    return Objective("classes" if whole else "regression").loss
