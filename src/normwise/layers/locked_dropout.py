"""Dropout whose mask stays the same along a sequence."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from normwise.errors import UsageError
from normwise.layers.noise import Mask


class LockedDropout(Mask):
    r"""Variational dropout: a feature that is dropped is dropped at every step of its sequence.

    $y_{n,t} = x_{n,t} \odot m_n / (1 - p)$ with $m_n \sim \text{Bernoulli}(1 - p)^C$, drawn once
    per sequence. Gal & Ghahramani, *A Theoretically Grounded Application of Dropout in Recurrent
    Neural Networks*, 2016; Merity et al., *Regularizing and Optimizing LSTM Language Models*, 2018.

    Shape:
        - Input: `(L, N, C)`, or `(N, L, C)` if `batch_first`; `(L, C)`; or a `PackedSequence`
        - Output: that of the input

    Args:
        p: probability of a feature to be zeroed. Default: 0.5
        inplace: overwrite the input. Default: False
        batch_first: which axis counts the sequences, as in `nn.LSTM`. Default: False
        scaling: `inverted` or `classic`, see `Dropout`. Default: `inverted`
        generator: draws the mask; None for torch's own random state. Default: None

    Raises:
        UsageError: `p` is no probability, the scaling is unknown, or the input is no sequence.

    Example:
        >>> dropped = LockedDropout(0.5)(torch.ones(5, 2, 3))
        >>> bool((dropped == dropped[0]).all())
        True
    """

    def __init__(
        self,
        p: float = 0.5,
        inplace: bool = False,
        batch_first: bool = False,
        *,
        scaling: str = "inverted",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(p, inplace, scaling=scaling, generator=generator)
        self.batch_first = batch_first

    def mask_shape(self, x: Tensor) -> Sequence[int]:
        """One mask per sequence."""
        if x.ndim not in (2, 3):
            axes = "(N, L, C)" if self.batch_first else "(L, N, C)"
            raise UsageError(
                f"LockedDropout takes sequences of shape {axes} or (L, C), and this input has "
                f"shape {tuple(x.shape)}: it may need to be reshaped, or nn.Dropout is meant"
            )
        if x.ndim == 2:
            return 1, x.shape[1]
        batch, _, features = x.shape if self.batch_first else (x.shape[1], 0, x.shape[2])
        return (batch, 1, features) if self.batch_first else (1, batch, features)

    def forward(self, x: Any) -> Any:
        """Zero features of whole sequences in training."""
        if not isinstance(x, PackedSequence):
            return super().forward(x)
        if not self.training:
            return x._replace(data=super().forward(x.data))
        first_steps = x.data[: int(x.batch_sizes[0])]
        mask = self.noise(first_steps.unsqueeze(int(self.batch_first))).flatten(0, 1)
        rows = [torch.arange(size, device=mask.device) for size in x.batch_sizes.tolist()]
        return x._replace(data=x.data * mask[torch.cat(rows)])

    def extra_repr(self) -> str:
        """Show which axis is which, too."""
        return f"{super().extra_repr()}, batch_first={self.batch_first}"
