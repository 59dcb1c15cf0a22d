import pytest
import torch

import normwise as nw
from normwise.errors import UsageError
from normwise.lab.batches import first_batch


def test_the_first_samples_as_rows(digits):
    x, y, classes = first_batch(digits, 5)
    assert torch.equal(x, digits.train.x[:5].reshape(5, 64).double())
    assert torch.equal(y, digits.train.y[:5])
    assert classes == 10


def test_data_without_classes():
    data = nw.data.load((torch.randn(50, 3), torch.randn(50)))
    with pytest.raises(UsageError, match="about classes"):
        first_batch(data, 5)
