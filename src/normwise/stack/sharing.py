"""Let runs that train on the same batches share them in a recorded program.

Runs of one seed see the same samples, whatever their learning rate. A program is recorded as if
each had a copy; here products with a copy become products with the one that there is, which stays
in the processor's cache from one run to the next.

Shapes: R runs, B batches; run r trains on batch r modulo B.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, fx

_aten = torch.ops.aten


def repeated(batches: Tensor, runs: int) -> Tensor:
    """Return every run's copy of its batch."""
    if len(batches) == runs:
        return batches
    return batches.repeat(runs // len(batches), *(1,) * (batches.ndim - 1))


def shared_bmm(left: Tensor, right: Tensor) -> Tensor:
    """Return the products of B matrices with R others, B at a time."""
    out = right.new_empty(len(right), left.shape[1], right.shape[2])
    count = len(left)
    for theirs, result in zip(right.split(count), out.split(count), strict=True):
        torch.bmm(left, theirs, out=result)
    return out


def shared_baddbmm(bias: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return the products of B matrices with R others, plus a bias."""
    out = right.new_empty(len(right), left.shape[1], right.shape[2])
    parts = (each.split(len(left)) for each in (bias, right, out))
    for added, theirs, result in zip(*parts, strict=True):
        torch.baddbmm(added, left, theirs, out=result)
    return out


def share(graph: fx.GraphModule, inputs: Iterable[fx.Node]) -> None:
    """Replace what is computed from copies of batches, where it can be computed from them.

    Args:
        graph: changed in place.
        inputs: of the graph, which may be `repeated`.
    """
    for batches in inputs:
        for user in list(batches.users):
            if user.target is _aten.repeat.default:
                _follow(graph.graph, user, batches)
    graph.graph.eliminate_dead_code()


def _follow(graph: fx.Graph, copies: fx.Node, batches: fx.Node) -> None:
    """Turn the users of the copies to the batches, as far as they can work with them."""
    for user in list(copies.users):
        with graph.inserting_before(user):
            view = _view(graph, user, copies, batches)
            result = _result(graph, user, copies, batches)
        if view is not None:
            _follow(graph, user, view)
        if result is not None:
            user.replace_all_uses_with(result)


def _view(graph: fx.Graph, user: fx.Node, copies: fx.Node, batches: fx.Node) -> fx.Node | None:
    """Return the batches seen as a user sees the copies, or None."""
    rest: Any = user.args[1:]
    match user.target:
        case _aten.view.default if rest[0][0] == len(copies.meta["val"]):
            rest = ([len(batches.meta["val"]), *rest[0][1:]],)
        case _aten.transpose.int if 0 not in rest:
            pass
        case _:
            return None
    view = graph.call_function(user.target, (batches, *rest))  # type: ignore[arg-type]
    view.meta["val"] = user.target(batches.meta["val"], *rest)  # type: ignore[operator]
    return view


def _result(graph: fx.Graph, user: fx.Node, copies: fx.Node, batches: fx.Node) -> fx.Node | None:
    """Return what a user computes of all copies, computed from the batches, or None."""
    rest: Any = user.args[1:]
    match user.target:
        case _aten.select.int if rest[0] == 0:
            args = batches, 0, rest[1] % len(batches.meta["val"])
            result = graph.call_function(user.target, args)
        case _aten.bmm.default if user.args[0] is copies:
            result = graph.call_function(shared_bmm, (batches, *rest))
        case _aten.baddbmm.default if user.args[1] is copies:
            result = graph.call_function(shared_baddbmm, (user.args[0], batches, rest[1]))
        case _:
            return None
    result.meta["val"] = user.meta["val"]
    return result
