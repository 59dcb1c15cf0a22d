"""Inputs without correlation: PCA and ZCA whitening, from the training split alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from normwise.data.dataset import Data
from normwise.data.split import Split
from normwise.data.standardize import CHUNK
from normwise.data.streamed import Streamed
from normwise.errors import Problems, UsageError, suggest

METHODS = ("zca", "pca")


@dataclass(frozen=True, eq=False, repr=False)
class Whitening:
    """A whitening that was measured on some samples, and can be applied to others.

    Attributes:
        mean: of every feature, float64, shape (F,).
        matrix: float64, shape (F, F); a sample, flattened and centred, is multiplied by its
            transpose.
        method: `zca` or `pca`.

    Example:
        >>> x = torch.randn(200, 3).cumsum(1)
        >>> whitening = Whitening.of(x)
        >>> torch.allclose(whitening.apply(x).T.cov(correction=0), torch.eye(3), atol=1e-3)
        True
    """

    mean: Tensor
    matrix: Tensor
    method: str

    @classmethod
    def of(cls, x: Tensor, method: str = "zca", eps: float = 1e-5) -> "Whitening":
        """Measure samples of shape (N, ...), in float64; for the arguments see `whiten`.

        Raises:
            UsageError: the samples hold integers, are fewer than two or not finite, the method is
                unknown, or `eps` is negative.

        Example:
            >>> Whitening.of(torch.tensor([[0.0], [4.0]]), eps=0.0).matrix
            tensor([[0.5000]], dtype=torch.float64)
        """
        _check(x, method, eps)
        mean = sum((part.sum(0) for part in _rows(x)), torch.zeros(())) / len(x)
        products = (((part - mean).T @ (part - mean)) for part in _rows(x))
        cov = sum(products, torch.zeros(())) / len(x)
        values, vectors = torch.linalg.eigh(cov)
        values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
        # Signs are free: the largest entry is positive, so that they do not hang on the machine.
        vectors = vectors * vectors.gather(0, vectors.abs().argmax(0)[None]).sign()
        scale = (values + eps).rsqrt()
        lost = values <= values[0] * len(values) * torch.finfo(values.dtype).eps
        matrix = scale.masked_fill(lost, 0)[:, None] * vectors.T
        return cls(mean, vectors @ matrix if method == "zca" else matrix, method)

    def apply(self, x: Tensor) -> Tensor:
        """Return samples whitened, in their dtype: (N, ...) by ZCA, (N, F) by PCA.

        Raises:
            UsageError: the samples have another number of features.

        Example:
            >>> Whitening.of(torch.tensor([[0.0], [4.0]]), eps=0.0).apply(torch.tensor([[6.0]]))
            tensor([[2.]])
        """
        features = x[0].numel() if len(x) else x.flatten(1).shape[1]
        if features != len(self.mean):
            raise UsageError(
                f"this whitening was measured on samples of {len(self.mean)} features, and these "
                f"have {features}"
            )
        parts = [((part - self.mean) @ self.matrix.T).to(x.dtype) for part in _rows(x)]
        white = torch.cat(parts) if parts else x.new_empty(0, features)
        return white.view_as(x) if self.method == "zca" else white


def whiten(data: Data, method: str = "zca", eps: float = 1e-5) -> Data:
    r"""Return a dataset whose samples have no correlation between features, all of variance 1.

    With mean $\mu$ and covariance $U \Lambda U^T$ of the training split, in float64, all splits
    become $(\Lambda + \epsilon)^{-1/2} U^T (x - \mu)$ by `pca`, components in the order of
    falling variance, or $U (\Lambda + \epsilon)^{-1/2} U^T (x - \mu)$ by `zca`, the whitening
    that changes samples least, so that images stay images. A direction in which the training split
    does not vary becomes 0. Bell & Sejnowski, *The "Independent Components" of Natural Scenes are
    Edge Filters*, 1997.

    Args:
        data: what `load` returns; is left as it is.
        method: `zca`, which keeps the shape of a sample, or `pca`, which flattens it.
        eps: added to the variances; larger values (0.01 to 0.1) keep the noise of images down.

    Returns:
        The data, its three splits whitened by the training split.

    Raises:
        UsageError: the samples are streamed, hold integers, are fewer than two or not finite, the
            method is unknown, or `eps` is negative.

    Example:
        >>> from normwise.data import load
        >>> data = whiten(load("digits"), "pca")
        >>> data.name, data.train
        ('digits, whitened by pca', Split(1150 samples of 64 float32))
        >>> data.train.x.mean().abs().item() < 1e-5
        True
    """
    if isinstance(data.train, Streamed):
        raise UsageError(
            f"{data.name} is streamed, and whitening takes all samples at once: load it with more "
            "memory, or whiten inside the dataset"
        )
    whitening = Whitening.of(data.train.single, method, eps)
    splits = {
        name: Split(whitening.apply(split.single), split.y)
        for name, split in (("train", data.train), ("val", data.val), ("test", data.test))
    }
    return replace(data, name=f"{data.name}, whitened by {method}", **splits)


def _rows(x: Tensor) -> Iterator[Tensor]:
    """Chunks of flattened samples in float64, so that memory holds no second dataset."""
    return (part.flatten(1).double() for part in x.split(CHUNK) if len(part))


def _check(x: Tensor, method: str, eps: float) -> None:
    problems = Problems()
    if method not in METHODS:
        problems.add(f"method={method!r}{suggest(method, METHODS)}: use {' or '.join(METHODS)}")
    if not eps >= 0:
        problems.add(f"eps={eps}: what is added to the variances is 0 or more")
    if not x.is_floating_point():
        problems.add(f"samples of {x.dtype} cannot be whitened: give floating-point values")
    elif not x.isfinite().all():
        problems.add("samples that are not finite cannot be whitened: replace NaN and infinity")
    if x.ndim < 2 or len(x) < 2:
        problems.add(
            f"samples of shape {tuple(x.shape)} have no covariance: give two or more, (N, ...)"
        )
    problems.raise_if_any()
