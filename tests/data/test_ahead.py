"""A thread works ahead, in turn, and its failures arrive."""

import threading
from functools import partial

import pytest

from normwise.data.ahead import ahead


def test_results_come_in_turn_from_one_other_thread():
    found = list(ahead(partial(lambda n: (n, threading.get_ident()), n) for n in range(20)))
    assert [number for number, _ in found] == list(range(20))
    [thread] = {thread for _, thread in found}
    assert thread != threading.get_ident()


def test_it_looks_two_ahead_and_no_further():
    taken = []

    def tasks():
        for number in range(10):
            taken.append(number)
            yield lambda: None

    results = ahead(tasks())
    for used in range(1, 8):
        next(results)
        assert len(taken) == used + 2


def test_a_failure_arrives_in_its_turn():
    def fail() -> int:
        raise ValueError("torn")

    results = ahead([lambda: 1, fail, lambda: 2])
    assert next(results) == 1
    with pytest.raises(ValueError, match="torn"):
        next(results)
