"""Dropout with a generator of its own, or with the scaling of the textbooks."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from normwise.layers.noise import Mask


class Dropout(Mask):
    r"""`nn.Dropout` with an explicit `generator` and the choice of `scaling`.

    In training every element is zeroed with probability `p`, independently:
    $y = x m / (1 - p)$ with $m \sim \text{Bernoulli}(1 - p)$, and $y = x$ in evaluation. With
    `scaling="classic"`, $y = x m$ in training and $y = (1 - p) x$ in evaluation. Without extras it
    calls torch's own function. Srivastava et al., *Dropout: A Simple Way to Prevent Neural Networks
    from Overfitting*, 2014.

    Shape:
        - Input: any
        - Output: that of the input

    Args:
        p: probability of an element to be zeroed. Default: 0.5
        inplace: overwrite the input. Default: False
        scaling: `inverted` or `classic`. Default: `inverted`
        generator: draws the mask; None for torch's own random state. Default: None

    Raises:
        UsageError: `p` is no probability, or the scaling is unknown.

    Example:
        >>> import torch
        >>> dropout = Dropout(0.25, scaling="classic")
        >>> sorted(set(dropout(torch.ones(100)).tolist())), dropout.eval()(torch.ones(2))
        ([0.0, 1.0], tensor([0.7500, 0.7500]))
    """

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        """Every element has its own."""
        return x.shape

    def forward(self, x: Tensor) -> Tensor:
        """Zero elements of `x` in training."""
        if self.generator is None and self.scaling == "inverted":
            return F.dropout(x, self.p, self.training, self.inplace)
        return super().forward(x)
