import numpy as np
from sklearn.datasets import load_digits

from normwise.data.digits import read


def test_scikit_learns_digits_as_images():
    raw = read()
    x, y = raw.train
    images, labels = load_digits(return_X_y=True)
    assert raw.name == "digits"
    assert raw.test is None
    assert x.dtype == np.float32
    assert np.array_equal(x.reshape(-1, 64), images)
    assert np.array_equal(y, labels)
