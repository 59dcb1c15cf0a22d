"""Gradients of linear layers, as the products that they are: left to the optimizer to compute."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx

from normwise.stack.sharing import shared_bmm

_aten = torch.ops.aten
_PRODUCTS = (_aten.bmm.default, shared_bmm)


@dataclass(frozen=True)
class Product:
    """The products of B matrices with R others: matrix r modulo B with matrix r.

    Attributes:
        left: shape (B, I, N).
        right: shape (R, N, O).

    Example:
        >>> Product(torch.ones(1, 2, 3), torch.ones(4, 3, 5)).value().shape
        torch.Size([4, 2, 5])
    """

    left: Tensor
    right: Tensor

    def value(self) -> Tensor:
        """Return all products, (R, I, O)."""
        return shared_bmm(self.left, self.right)

    def add_to(self, sums: Tensor, factors: Sequence[float]) -> None:
        """Add all products, each times its factor, to `sums`, without room for them beside it.

        Args:
            sums: shape (R, I, O).
            factors: R numbers; it is faster where those of B neighbours are the same.
        """
        count = len(self.left)
        parts = zip(
            sums.split(count), self.right.split(count), batched(factors, count), strict=True
        )
        for part, right, (first, *rest) in parts:
            if all(factor == first for factor in rest):
                part.baddbmm_(self.left, right, alpha=first)
            else:
                part.baddbmm_(self.left, right * right.new_tensor([first, *rest])[:, None, None])


Gradient = Tensor | Product | None


def batched(numbers: Sequence[float], count: int) -> Iterator[Sequence[float]]:
    """Yield numbers in parts of `count`."""
    return (numbers[start : start + count] for start in range(0, len(numbers), count))


def leave_products(graph: fx.GraphModule) -> list[bool]:
    """Make a program return the factors of a product, where it would return that transposed.

    Args:
        graph: changed in place; a product in its output becomes a pair.

    Returns:
        For every output, whether it is a pair now.
    """
    [output] = graph.graph.find_nodes(op="output")
    results = [_factors(node) or node for node in output.args[0]]
    output.args = (tuple(results),)
    graph.graph.eliminate_dead_code()
    return [isinstance(result, tuple) for result in results]


def _factors(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    if node.target is not _aten.transpose.int or node.args[1:] not in ((-2, -1), (1, 2)):
        return None
    product = node.args[0]
    assert isinstance(product, fx.Node)
    if product.target not in _PRODUCTS or len(product.users) > 1 or len(node.users) > 1:
        return None
    left, right = product.args
    return left, right  # type: ignore[return-value]
