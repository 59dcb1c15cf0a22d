import numpy as np
from sklearn.datasets import load_digits

from normwise.data.digits import read


def test_scikit_learns_digits_as_images():
    raw = read()
    x, y = raw.train
    original = load_digits()
    assert raw.name == "digits"
    assert raw.test is None
    assert x.dtype == np.float32
    assert np.array_equal(x[:, 0], original.images)
    assert np.array_equal(y, original.target)
