"""The backward passes of batch and layer normalization, in closed form."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from normwise.layers.rows import gradients_of_affine, worth_calls
from normwise.layers.transforms import followed
from normwise.layers.validity import sum_over, validity


def batch_norm_backward(
    grad: Tensor,
    normal: Tensor,
    scale: Tensor,
    dim: Sequence[int],
    *,
    mean: Tensor | None = None,
    rstd: Tensor | float = 1.0,
    share: Tensor | float | None = None,
    mask: Tensor | None = None,
    clean: bool = False,
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
        - scale, mean, rstd, share, the other results: `(*)` with size 1 in `dim`
        - mask: what broadcasts to `(*)`

    Args:
        grad: of the output.
        normal: the normalised input $\hat x$, or what `mean` and `rstd` make that of.
        scale: $\gamma / \sqrt{\sigma^2 + \epsilon}$.
        dim: over which the statistics were taken, in rising order.
        mean: what is still to be taken from `normal`, if anything.
        rstd: what `normal`, less the mean, is still to be multiplied by. Default: 1
        share: what one value has in its statistics: $1/n$, or 0 for units that were normalised
            with given ones. Default: $1/n$ of the size of `dim`
        mask: False where the input went through as it was. Default: nowhere
        clean: whether `normal` is finite there, and of moderate size, which makes it faster.
            Default: False
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
    valid, arrived, by_hand = validity(mask, clean=clean), grad, not followed()
    if mask is not None and not by_hand:  # a NaN would find its way into a second derivative
        grad, normal = torch.where(mask, grad, 0), torch.where(mask, normal, 0)
    vectors = by_hand and mask is None and list(dim) == [1] and worth_calls(grad)
    if vectors and mean is not None and isinstance(rstd, Tensor):
        dweight, dbias = gradients_of_affine(grad, normal, mean, rstd)
        room = torch.empty_like(grad)
    else:
        product, factor = _product(grad, normal, mean, by_hand=by_hand)
        room = product if by_hand else None  # once it is summed up
        dweight = valid.sum(product, dim, room) * (factor * rstd)
        dbias = valid.sum(grad, dim, room)
    if share is None:
        share = 1 / math.prod([grad.shape[d] for d in dim])
    over_w, over_b = (dweight, dbias) if total is None else total(torch.stack([dweight, dbias]))
    pull = -share * scale
    slope, rest = pull * rstd * over_w, pull * over_b
    if mean is not None:
        rest = torch.addcmul(rest, slope, mean, value=-1)
    dx = torch.addcmul(rest, grad, scale, out=room)
    dx = torch.addcmul(dx, normal, slope, out=room)
    return valid.put_back(dx, arrived, room).to(dtype), dweight, dbias


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
    dtype, exact = grad.dtype, torch.promote_types(grad.dtype, torch.float32)
    grad, normal = grad.to(exact), normal.to(exact)
    inner = list(range(grad.ndim - len(normalized_shape), grad.ndim))
    outer = list(range(inner[0]))
    scaled = grad if weight is None else grad * weight
    dx = batch_norm_backward(scaled, normal, rstd, inner)[0]
    dweight, dbias = sum_over(grad * normal, outer), sum_over(grad, outer)
    return dx.to(dtype), dweight.view(*normalized_shape), dbias.view(*normalized_shape)


def _product(
    grad: Tensor, x: Tensor, mean: Tensor | None, *, by_hand: bool
) -> tuple[Tensor, float]:
    """Return grad * (x - mean) as a tensor and a factor; in one pass where nobody follows."""
    if mean is None:
        return grad * x, 1.0
    if not by_hand:
        return grad * (x - mean), 1.0
    gradient_of_squares, out = torch.ops.aten.mse_loss_backward.grad_input, torch.empty_like(x)
    return gradient_of_squares(grad, x, mean.expand_as(x), 0, grad_input=out), 0.5
