"""Batch normalization that also removes the correlation between channels."""

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from normwise.errors import Problems, UsageError
from normwise.layers.floating import check_floating
from normwise.layers.transforms import recomputing


class WhitenNorm(nn.Module):
    """The base of `WhitenNorm1d` and `WhitenNorm2d`, which say what inputs they take.

    Example:
        >>> issubclass(WhitenNorm1d, WhitenNorm), WhitenNorm1d.shapes
        (True, {2: '(N, C)', 3: '(N, C, L)'})
    """

    normalizes: ClassVar[bool] = True
    shapes: ClassVar[dict[int, str]]

    weight: Tensor
    bias: Tensor
    running_mean: Tensor | None
    running_cov: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        num_groups: int = 1,
        iterations: int = 5,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        problems, name = Problems(), type(self).__name__
        if num_features < 1:
            problems.add(f"{name}(num_features={num_features}): there is at least one channel")
        if num_groups < 1 or num_features % num_groups:
            problems.add(
                f"{name}(num_groups={num_groups}): does not divide the {num_features} channels"
            )
        if iterations < 1:
            problems.add(f"{name}(iterations={iterations}): Newton's method needs one step or more")
        problems.raise_if_any()
        super().__init__()
        self.num_features, self.num_groups = num_features, num_groups
        self.eps, self.momentum, self.iterations = eps, momentum, iterations
        self.affine, self.track_running_stats = affine, track_running_stats
        new = {"device": device, "dtype": dtype}
        for key in ("weight", "bias"):
            values = torch.empty(num_features, **new) if affine else None
            self.register_parameter(key, None if values is None else nn.Parameter(values))
        size = num_features // num_groups
        tracked = {
            "running_mean": torch.zeros(num_features, **new),
            "running_cov": torch.eye(size, **new).repeat(num_groups, 1, 1),
            "num_batches_tracked": torch.tensor(0, device=device),
        }
        for key, buffer in tracked.items():
            self.register_buffer(key, buffer if track_running_stats else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches."""
        if self.running_mean is not None and self.running_cov is not None:
            self.running_mean.zero_()
            self.running_cov.copy_(torch.eye(self.running_cov.shape[-1]))
            self.num_batches_tracked.zero_()  # type: ignore[union-attr]

    def reset_parameters(self) -> None:
        """Forget all batches, and scale by 1 and shift by 0."""
        self.reset_running_stats()
        if self.affine:
            nn.init.ones_(self.get_parameter("weight"))
            nn.init.zeros_(self.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """Whiten `x` by its own statistics in training, by the running ones in evaluation."""
        self._check(x)
        # Products of half precision would leave too few digits to invert a covariance.
        with torch.autocast(x.device.type, enabled=False):
            blocks = self._blocks(x).to(torch.promote_types(x.dtype, torch.float32))
            centred, cov = self._statistics(blocks)
            matrix = whitening(cov, self.eps, self.iterations)
            if not self.affine:
                return self._back(matrix @ centred, x).to(x.dtype)
            weight, bias = (each.view(*matrix.shape[:2], 1) for each in (self.weight, self.bias))
            return self._back((weight * matrix) @ centred + bias, x).to(x.dtype)

    def extra_repr(self) -> str:
        """Show the arguments."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}, num_groups={self.num_groups}, "
            f"iterations={self.iterations}"
        )

    def _check(self, x: Tensor) -> None:
        check_floating(type(self).__name__, x)
        if x.ndim not in self.shapes or x.shape[1] != self.num_features:
            raise UsageError(
                f"{type(self).__name__}({self.num_features}) takes inputs of shape "
                f"{' or '.join(self.shapes.values())} with C = {self.num_features}, and this one "
                f"has shape {tuple(x.shape)}"
            )
        own = self.training or self.running_mean is None
        if own and x.numel() == self.num_features:
            raise UsageError(
                f"{type(self).__name__} in training needs more than one value per channel, and the "
                f"input has shape {tuple(x.shape)}: use a larger batch, or call eval()"
            )

    def _statistics(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Centre by the batch's mean, or the running one; return that and the covariance."""
        running, cov = self.running_mean, self.running_cov
        if running is not None and cov is not None and not (self.training and blocks.numel()):
            mean = running.to(blocks.dtype).view(*cov.shape[:2], 1)
            return blocks - mean, cov.to(blocks.dtype)
        mean = blocks.mean((0, -1), keepdim=True)
        centred = blocks - mean
        cov = covariance(centred)
        if running is not None and not recomputing():  # checkpointing runs a forward twice
            self._track(mean, cov, blocks.numel() // self.num_features)
        return centred, cov

    def _blocks(self, x: Tensor) -> Tensor:
        """(N, C, *) as (B, groups, channels of a group, L): a product for each of B blocks.

        A sample is a block, unless it has so few positions that one block of all is cheaper, in
        spite of the copying.
        """
        size, positions = self.num_features // self.num_groups, math.prod(x.shape[2:])
        if positions >= size:
            return x.reshape(len(x), self.num_groups, size, positions)
        return x.transpose(0, 1).reshape(1, self.num_groups, size, -1)

    def _back(self, blocks: Tensor, x: Tensor) -> Tensor:
        if len(blocks) == len(x):
            return blocks.reshape(x.shape)
        y = blocks.reshape(x.shape[1], x.shape[0], *x.shape[2:]).transpose(0, 1)
        return y.contiguous()  # so that `view` can flatten it

    @torch.no_grad()
    def _track(self, mean: Tensor, cov: Tensor, count: int) -> None:
        tracked = self.get_buffer("num_batches_tracked").add_(1)
        share = 1.0 / tracked if self.momentum is None else self.momentum
        unbiased = cov * (count / max(count - 1, 1))
        for name, batch in (("running_mean", mean.flatten()), ("running_cov", unbiased)):
            running = self.get_buffer(name)
            running.mul_(1 - share).add_(batch.to(running.dtype) * share)


class WhitenNorm1d(WhitenNorm):
    r"""Whiten features: like `nn.BatchNorm1d`, but correlated ones are decorrelated too.

    Within each of `num_groups` groups of channels,
    $y = \gamma \, \Sigma^{-1/2} (x - \mu) + \beta$ with mean $\mu$ and covariance $\Sigma$ over
    batch and positions: ZCA whitening, the one that changes the features least. The inverse square
    root comes from Newton's iteration, $P_{k+1} = (3 P_k - P_k^3 \Sigma_N) / 2$ from $P_0 = I$ with
    $\Sigma_N = (\Sigma + \epsilon I) / \text{tr}(\Sigma + \epsilon I)$, stopped after `iterations`
    steps, which leaves directions of little variance small and so does not blow up noise.
    Evaluation whitens by the running mean and covariance (divided by the count less one, as torch
    does the variance). Huang et al., *Iterative Normalization: Beyond Standardization towards
    Efficient Whitening*, 2019.

    Shape:
        - Input: `(N, C)` or `(N, C, L)`
        - Output: that of the input

    Args:
        num_features: C.
        eps: added to the variances. Default: 1e-5
        momentum: share of the newest batch in the running statistics; None for the mean over all
            batches. Default: 0.1
        affine: whether to scale and shift, by learned values. Default: True
        track_running_stats: False uses the batch's statistics in evaluation too. Default: True
        num_groups: groups of channels that are whitened on their own: the cost grows with the
            channels of a group, and so do the samples that a covariance needs. Default: 1
        iterations: steps of Newton's method. Default: 5
        device: of parameters and buffers.
        dtype: of parameters and buffers.

    Raises:
        UsageError: an argument is out of range, the input has another shape, holds whole numbers,
            or has one value per channel in training.

    Example:
        >>> x = torch.randn(512, 4).cumsum(1)  # each feature holds the one before
        >>> y = WhitenNorm1d(4, iterations=12)(x)
        >>> torch.allclose(y.T @ y / 512, torch.eye(4), atol=1e-3)
        True
    """

    shapes: ClassVar[dict[int, str]] = {2: "(N, C)", 3: "(N, C, L)"}


class WhitenNorm2d(WhitenNorm):
    """Whiten channels of images: see `WhitenNorm1d` for the formula, the source and the arguments.

    Shape:
        - Input: `(N, C, H, W)`
        - Output: that of the input

    Raises:
        UsageError: an argument is out of range, the input has another shape, holds whole numbers,
            or has one value per channel in training.

    Example:
        >>> x = torch.randn(8, 4, 16, 16).cumsum(1)  # each channel holds the one before
        >>> y = WhitenNorm2d(4, iterations=12)(x).transpose(0, 1).flatten(1)
        >>> torch.allclose(torch.corrcoef(y), torch.eye(4), atol=1e-3)
        True
    """

    shapes: ClassVar[dict[int, str]] = {4: "(N, C, H, W)"}


def covariance(centred: Tensor) -> Tensor:
    """Return covariances (G, D, D), divided by the count, of centred blocks (B, G, D, L).

    Example:
        >>> covariance(torch.tensor([[[[-1.0, 1.0], [-2.0, 2.0]]]]))
        tensor([[[1., 2.],
                 [2., 4.]]])
    """
    return (centred @ centred.mT).sum(0) / (centred.shape[0] * centred.shape[-1])


def whitening(cov: Tensor, eps: float, iterations: int) -> Tensor:
    """Return the inverse square roots of covariances (G, D, D), by Newton's iteration.

    In its coupled form (Higham, *Functions of Matrices*, 2008, eq. 6.35), which carries the square
    root along: the paper's form, equal on paper, lets rounding grow until it is all there is.

    Example:
        >>> whitening(torch.diag(torch.tensor([4.0, 1.0]))[None], 0.0, 20)
        tensor([[[0.5000, 0.0000],
                 [0.0000, 1.0000]]])
    """
    identity = torch.eye(cov.shape[-1], dtype=cov.dtype, device=cov.device)
    cov = cov + eps * identity
    trace = cov.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    root = cov / trace
    inverse = step = 1.5 * identity - 0.5 * root
    for _ in range(iterations - 1):
        root = root @ step
        step = 1.5 * identity - 0.5 * (inverse @ root)
        inverse = step @ inverse
    return inverse * trace.rsqrt()
