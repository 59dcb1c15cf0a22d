"""What a network reaches that looks at nothing."""

from normwise.data import Data


def constant_score(data: Data, metric: str) -> float | None:
    """Return the test score of the best constant prediction.

    Args:
        data: of one head or several.
        metric: `acc` or `r2`, or the name of another.

    Returns:
        The share of the most frequent class, 0 for R², and None where nothing is known: for
        several heads, and for a metric of the user's own.

    Example:
        >>> import torch
        >>> from normwise.data import load
        >>> labels = torch.arange(100) % 5 == 0
        >>> constant_score(load((torch.randn(100, 2), labels)), "acc")
        0.8
    """
    labels = data.test.y
    if isinstance(labels, dict) or metric not in ("acc", "r2"):
        return None
    if metric == "r2":
        return 0.0
    return labels.long().flatten().bincount().max().item() / labels.numel()
