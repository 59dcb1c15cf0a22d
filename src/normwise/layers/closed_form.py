"""The backward passes of batch and layer normalization, in closed form."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from normwise.layers.moments import sum_over
from normwise.layers.transforms import in_transform


def batch_norm_backward(
    grad: Tensor,
    normal: Tensor,
    scale: Tensor,
    dim: Sequence[int],
    *,
    rstd: Tensor | float = 1.0,
    share: Tensor | float | None = None,
    mask: Tensor | None = None,
    total: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the gradients of a batch norm with respect to its input, weight and bias.

    With $\hat x = (x - \mu) / \sqrt{\sigma^2 + \epsilon}$, $y = \gamma \hat x + \beta$ and $g$ the
    gradient of $y$, over the $n$ values of a unit

    $$d\gamma = \sum g \hat x, \quad d\beta = \sum g, \quad
    dx = \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}
    \left(g - \frac{d\beta}{n} - \hat x \frac{d\gamma}{n}\right),$$

    which is what the equations of Ioffe & Szegedy, *Batch Normalization*, 2015, section 3, come to.
    It is made of differentiable functions, so it can be differentiated again.

    Shape:
        - grad, normal, the first result: any, here called `(*)`
        - scale, rstd, share, the other results: `(*)` with size 1 in `dim`
        - mask: what broadcasts to `(*)`

    Args:
        grad: of the output.
        normal: the normalised input $\hat x$; 0 where the mask is False.
        scale: $\gamma / \sqrt{\sigma^2 + \epsilon}$.
        dim: over which the statistics were taken, in rising order.
        rstd: what `normal` is still to be multiplied by: $1 / \sqrt{\sigma^2 + \epsilon}$ where it
            is $x - \mu$. Default: 1
        share: what one value has in its statistics: $1/n$, or 0 for units that were normalised
            with given ones. Default: $1/n$ of the size of `dim`
        mask: False where the input went through as it was. Default: nowhere
        total: adds up a sum over the replicas that share the statistics. Default: there is one

    Returns:
        The gradients of input, weight and bias; the last two as sums over `dim`, of this replica.

    Example:
        >>> x, weight = torch.randn(8, 3), torch.tensor([1.0, 2.0, 3.0])
        >>> scale = (x.var(0, correction=0) + 1e-5).rsqrt()
        >>> normal = (x - x.mean(0)) * scale
        >>> dx, dweight, dbias = batch_norm_backward(torch.randn(8, 3), normal, weight * scale, [0])
        >>> dx.sum(0).abs().max().item() < 1e-5  # shifting the input changes nothing
        True
    """
    dtype, exact = grad.dtype, torch.promote_types(grad.dtype, torch.float32)
    grad, normal = grad.to(exact), normal.to(exact)
    valid = None if mask is None else mask.to(exact)
    product = grad * normal
    dweight = sum_over(product, dim) * rstd
    dx = product.copy_(grad)  # its memory is done with
    dbias = sum_over(grad if valid is None else dx.mul_(valid), dim)
    if share is None:
        share = 1 / math.prod([grad.shape[d] for d in dim])
    over_w, over_b = (dweight, dbias) if total is None else total(torch.stack([dweight, dbias]))
    pull = -share * scale
    dx = _add_product(dx.mul_(scale), normal, pull * rstd * over_w)
    if valid is None:
        dx.add_(pull * over_b)
    else:  # products that are 0 elsewhere: far faster than a selection
        dx = _add_product(dx, valid, pull * over_b)
        dx = _add_product(dx, grad, 1 - valid)
    return dx.to(dtype), dweight, dbias


def layer_norm_backward(
    grad: Tensor,
    normal: Tensor,
    rstd: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the gradients of a layer norm with respect to its input, weight and bias.

    As for `batch_norm_backward`, but the statistics are taken over the last dimensions and the
    weight lies inside them: with $h = g \gamma$,
    $dx = \frac{1}{\sigma} (h - \text{mean}(h) - \hat x \, \text{mean}(h \hat x))$. Ba, Kiros &
    Hinton, *Layer Normalization*, 2016.

    Shape:
        - grad, normal, the first result: `(*, normalized_shape)`
        - rstd: `(*, 1, ...)`
        - weight, the other results: `normalized_shape`

    Args:
        grad: of the output.
        normal: the normalised input $\hat x$.
        rstd: $1 / \sqrt{\sigma^2 + \epsilon}$.
        normalized_shape: the last dimensions, over which the statistics were taken.
        weight: of the layer. Default: 1

    Returns:
        The gradients of input, weight and bias.

    Example:
        >>> x = torch.randn(4, 6)
        >>> rstd = (x.var(1, correction=0, keepdim=True) + 1e-5).rsqrt()
        >>> normal = (x - x.mean(1, keepdim=True)) * rstd
        >>> dx, dweight, dbias = layer_norm_backward(torch.randn(4, 6), normal, rstd, [6])
        >>> dx.shape, dweight.shape
        (torch.Size([4, 6]), torch.Size([6]))
    """
    inner = list(range(grad.ndim - len(normalized_shape), grad.ndim))
    outer = list(range(inner[0]))
    scaled = grad if weight is None else grad * weight
    dx = batch_norm_backward(scaled, normal, rstd, inner)[0]
    dweight, dbias = sum_over(grad * normal, outer), sum_over(grad, outer)
    return dx, dweight.view(*normalized_shape), dbias.view(*normalized_shape)


def _add_product(x: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Add in place, but for torch.vmap, which then would go call by call."""
    return torch.addcmul(x, one, other) if in_transform() else x.addcmul_(one, other)
