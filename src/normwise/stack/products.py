"""Gradients of linear layers, as the products that they are: left to the optimizer to compute."""

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

    def add_to(self, sums: Tensor) -> None:
        """Add all products to `sums`, (R, I, O), which need not have them beside it for that."""
        count = len(self.left)
        for part, right in zip(sums.split(count), self.right.split(count), strict=True):
            part.baddbmm_(self.left, right)


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
