"""Dropout that learns its own p."""

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from normwise.errors import Problems


class ConcreteDropout(nn.Module):
    r"""Dropout whose `p` is a parameter, learned with the weights.

    In training the mask is relaxed, so that it has a gradient with respect to `p`:
    $y = x (1 - z) / (1 - p)$ with $z = \sigma((\text{logit}\, p + \text{logit}\, u) / \tau)$ and
    $u \sim U(0, 1)$. In evaluation $y = x$.

    Training alone would push `p` to 0. What holds it is the entropy in the paper's loss,
    $\lambda K (p \ln p + (1 - p) \ln(1 - p))$, where K counts the features of a sample. Its
    gradient reaches `p` whenever a loss is differentiated through this layer, so no loss needs to
    be changed; `entropy_term` returns its value. The paper's other term is a weight decay, which is
    the optimizer's. Gal, Hron & Kendall, *Concrete Dropout*, 2017.

    Shape:
        - Input: `(N, *)`
        - Output: that of the input

    Args:
        p: at the start, in (0, 1). Default: 0.1
        temperature: τ of the relaxation; the smaller, the closer to zeros and ones. Default: 0.1
        dropout_regularizer: λ, of the order of 1 / (number of training samples). Default: 1e-5
        generator: draws the noise; None for torch's own random state. Default: None

    Attributes:
        p_logit: the parameter, $\ln(p / (1 - p))$.

    Raises:
        UsageError: an argument is out of range.

    Example:
        >>> dropout = ConcreteDropout(0.1)
        >>> dropout(torch.ones(8, 4)).sum().backward()
        >>> round(dropout.p.item(), 4), dropout.p_logit.grad is not None
        (0.1, True)
    """

    drops: ClassVar[bool] = True

    def __init__(
        self,
        p: float = 0.1,
        temperature: float = 0.1,
        dropout_regularizer: float = 1e-5,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        problems = Problems()
        if not 0 < p < 1:
            problems.add(f"ConcreteDropout(p={p}): p lies between 0 and 1, both excluded")
        if not temperature > 0:
            problems.add(f"ConcreteDropout(temperature={temperature}): a temperature is positive")
        if not dropout_regularizer >= 0:
            problems.add(f"ConcreteDropout(dropout_regularizer={dropout_regularizer}): 0 or more")
        problems.raise_if_any()
        super().__init__()
        self.p_logit = nn.Parameter(torch.tensor(math.log(p / (1 - p))))
        self.temperature = temperature
        self.dropout_regularizer = dropout_regularizer
        self.generator = generator

    @property
    def p(self) -> Tensor:
        """The probability, as it is now."""
        return self.p_logit.sigmoid()

    def entropy_term(self, features: int) -> Tensor:
        """Return what the loss is regularized by: λ K (p ln p + (1 - p) ln(1 - p)).

        Args:
            features: K, the number of elements of a sample.
        """
        logits = torch.stack([self.p_logit, -self.p_logit])
        negative_entropy = (logits.sigmoid() * nn.functional.logsigmoid(logits)).sum()
        return self.dropout_regularizer * features * negative_entropy

    def forward(self, x: Tensor) -> Tensor:
        """Multiply `x` by a relaxed mask in training."""
        if not self.training:
            return x
        uniform = x.new_empty(x.shape).uniform_(generator=self.generator)
        eps = torch.finfo(x.dtype).eps
        logits = self.p_logit + uniform.logit(eps)
        kept = (-logits / self.temperature).sigmoid() / (-self.p_logit).sigmoid()
        term = self.entropy_term(math.prod(x.shape[1:]))
        return _Join.apply(x * kept.to(x.dtype), term)  # type: ignore[return-value]

    def extra_repr(self) -> str:
        """Show the p that was learned."""
        return (
            f"p={self.p.item():.3g}, temperature={self.temperature}, "
            f"dropout_regularizer={self.dropout_regularizer}"
        )


class _Join(torch.autograd.Function):
    """Return x; who differentiates through it differentiates `term` as if the loss had it."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, term: Tensor) -> Tensor:  # noqa: ARG004
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG004
        return grads[0], grads[0].new_ones(())
