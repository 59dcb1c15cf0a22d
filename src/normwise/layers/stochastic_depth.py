"""Drop a residual branch for whole samples."""

from collections.abc import Sequence

import torch
from torch import Tensor

from normwise.errors import Problems, UsageError
from normwise.layers.noise import Mask

MODES = ("row", "batch")


class StochasticDepth(Mask):
    r"""Drop path: zero the output of a residual branch for whole samples.

    $y_n = x_n m_n / (1 - p)$ with $m_n \sim \text{Bernoulli}(1 - p)$ in training, and $y = x$ in
    evaluation; stands at the end of a branch `f` in `x + drop(f(x))`. The paper lets `p` grow from
    0 at the first block to its value at the last. Huang et al., *Deep Networks with Stochastic
    Depth*, 2016.

    Shape:
        - Input: `(N, *)`
        - Output: that of the input

    Args:
        p: probability of a sample to be zeroed. Default: 0.5
        mode: `row` draws for every sample, `batch` for all together. Default: `row`
        inplace: overwrite the input. Default: False
        scaling: `inverted` or `classic`, see `Dropout`; the paper's is classic. Default: `inverted`
        generator: draws the mask; None for torch's own random state. Default: None

    Raises:
        UsageError: `p` is no probability, the mode or the scaling is unknown.

    Example:
        >>> drops = [StochasticDepth(p) for p in torch.linspace(0, 0.2, 5).tolist()]
        >>> y = drops[-1](torch.ones(6, 3, 8, 8))
        >>> bool((y == y[:, :1, :1, :1]).all())
        True
    """

    def __init__(
        self,
        p: float = 0.5,
        mode: str = "row",
        inplace: bool = False,
        *,
        scaling: str = "inverted",
        generator: torch.Generator | None = None,
    ) -> None:
        problems = Problems()
        if mode not in MODES:
            problems.add(f"StochasticDepth(mode={mode!r}): use {' or '.join(MODES)}")
        with problems.collect():
            super().__init__(p, inplace, scaling=scaling, generator=generator)
        problems.raise_if_any()
        self.mode = mode

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        """One mask per sample, or one for all."""
        if x.ndim == 0:
            raise UsageError("StochasticDepth takes a batch (N, *), and this input has no axis")
        return (x.shape[0] if self.mode == "row" else 1), *(1,) * (x.ndim - 1)

    def extra_repr(self) -> str:
        """Show the mode, too."""
        return f"{super().extra_repr()}, mode={self.mode!r}"
