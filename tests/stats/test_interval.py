import dataclasses

import pytest

from normwise.stats import Interval


def test_interval_is_a_plain_immutable_record():
    interval = Interval(0.9, 0.8, 1.0)
    assert dataclasses.asdict(interval) == {"estimate": 0.9, "low": 0.8, "high": 1.0}
    with pytest.raises(dataclasses.FrozenInstanceError):
        interval.low = 0.0  # type: ignore[misc]
