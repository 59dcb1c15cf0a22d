"""The digits that come with scikit-learn."""

import numpy as np

from normwise.data.raw import Raw


def read() -> Raw:
    """Return 1797 images of shape (1, 8, 8), values 0..16, ten classes.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, 1998 (its test part).

    Example:
        >>> x, y = read().train
        >>> x.shape, x.dtype, sorted(set(y.tolist()))
        ((1797, 1, 8, 8), dtype('float32'), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """
    from sklearn.datasets import load_digits  # a second to import, so only where it is wanted

    images, labels = load_digits(return_X_y=True)
    return Raw("digits", (images.reshape(-1, 1, 8, 8).astype(np.float32), labels))
