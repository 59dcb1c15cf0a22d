"""A form under torch.vmap, torch's own function under torch.vmap, and one run after another."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from normwise.stack.forms import Masks, StackedForms

RUNS = 3
Results = tuple[list[Tensor], list[Tensor], list[Tensor]]


def results(
    function: Callable[..., Any],
    tensors: Sequence[Tensor],
    dims: Sequence[int | None],
    call: Callable[..., list[Tensor]],
) -> Results:
    """Return the outputs of a function of all runs, its gradients, and what is left of tensors."""
    copies = [tensor.clone() for tensor in tensors]
    leaves = [t.requires_grad_() if t.is_floating_point() and t.dim() else t for t in copies]
    values = [t.clone() if t.requires_grad else t for t in leaves]  # which may be written to
    outs = call(function, values, dims)
    seeds = [torch.randn(o.shape, generator=torch.Generator().manual_seed(9)).to(o) for o in outs]
    wanted = [leaf for leaf in leaves if leaf.requires_grad]
    grads = torch.autograd.grad(
        sum((o * s).sum() for o, s in zip(outs, seeds, strict=True)), wanted, allow_unused=True
    )
    return (
        outs,
        [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, grads, strict=True)],
        [value.detach() for value in values],
    )


def as_list(out: Any) -> list[Tensor]:
    return list(out) if isinstance(out, tuple | list) else [out]


def stacked(function: Callable[..., Any], values: list[Tensor], dims: Sequence[int | None]) -> Any:
    with StackedForms(Masks(())):
        return as_list(torch.vmap(function, tuple(dims))(*values))


def by_vmap(function: Callable[..., Any], values: list[Tensor], dims: Sequence[int | None]) -> Any:
    return as_list(torch.vmap(function, tuple(dims))(*values))


def one_by_one(
    function: Callable[..., Any], values: list[Tensor], dims: Sequence[int | None]
) -> Any:
    runs = [
        as_list(
            function(
                *(v if d is None else v.select(d, run) for v, d in zip(values, dims, strict=True))
            )
        )
        for run in range(RUNS)
    ]
    return [torch.stack(outs) for outs in zip(*runs, strict=True)]


@pytest.fixture(scope="session")
def agree() -> Callable[..., None]:
    """Return a check that a form computes what torch does: outputs, gradients, side effects."""

    def check(
        function: Callable[..., Any],
        *tensors: Tensor,
        dims: Sequence[int | None] | None = None,
        vmap: bool = True,
    ) -> None:
        dims = dims or [0] * len(tensors)
        ours = results(function, tensors, dims, stacked)
        for call in (one_by_one, by_vmap) if vmap else (one_by_one,):
            theirs = results(function, tensors, dims, call)
            for mine, other in zip(ours, theirs, strict=True):
                for a, b in zip(mine, other, strict=True):
                    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)

    return check


@pytest.fixture(scope="session")
def draw() -> Callable[..., Tensor]:
    """Return a function that draws float64 tensors."""
    generator = torch.Generator().manual_seed(1)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)
