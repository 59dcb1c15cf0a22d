import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normwise.evidence import Distribution
from normwise.stack import Evaluation, Outcome
from normwise.study.record import Record

NUMBER = st.floats(allow_nan=True, allow_infinity=True, width=64)
EVALUATION = st.builds(Evaluation, st.integers(0, 10**9), NUMBER, NUMBER, NUMBER)
TUPLES = st.lists(NUMBER, max_size=4).map(tuple)
DISTRIBUTION = st.builds(
    Distribution, st.text(), st.text(), *[NUMBER] * 6, edges=TUPLES, density=TUPLES
)
OUTCOME = st.builds(
    Outcome,
    st.sampled_from(["done", "diverged"]),
    st.integers(0, 10**9),
    st.lists(EVALUATION, max_size=4),
    NUMBER,
    NUMBER,
    NUMBER,
)
RECORD = st.builds(
    Record,
    st.text(),
    st.integers(0, 2**63 - 1),
    OUTCOME,
    st.dictionaries(st.integers(0, 10**6), st.lists(DISTRIBUTION, max_size=2), max_size=2),
)


def bits(value):
    """Any two values are the same in bits where these are equal; NaN is NaN, -0 is not 0."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("<d", value)
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [bits(item) for item in value]
    if isinstance(value, Record | Outcome | Evaluation | Distribution):
        return type(value), bits(vars(value))
    return type(value), value


@given(RECORD)
def test_a_record_comes_back_exactly(record: Record):
    text = record.to_json()
    assert bits(Record.from_json(text)) == bits(record)
    assert Record.from_json(text).to_json() == text


@given(RECORD)
def test_the_text_is_strict_json(record: Record):
    def refuse(constant: str):
        raise AssertionError(constant)

    text = record.to_json()
    json.loads(text, parse_constant=refuse)
    assert text.count("\n") == 1
    assert text.endswith("\n")


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"variant": "a", "seed": 0}', "null"])
def test_what_is_no_record_is_refused(text: str):
    with pytest.raises((ValueError, TypeError, KeyError)):
        Record.from_json(text)


@given(RECORD, st.integers(0, 10**6))
def test_a_torn_record_is_refused(record: Record, cut: int):
    text = record.to_json()
    torn = text[: cut % (len(text) - 2)]
    with pytest.raises((ValueError, TypeError, KeyError)):
        Record.from_json(torn)
