import pytest

from normwise.errors import Problems, UsageError, suggest


def test_problems_are_kept_apart_and_shown_a_line_each():
    error = UsageError("first", "second")
    assert error.problems == ("first", "second")
    assert str(error) == "first\nsecond"
    assert isinstance(error, ValueError)


def test_problems_are_raised_together_and_in_order():
    problems = Problems()
    with problems.collect():
        raise UsageError("a", "b")
    problems.add("c")
    with problems.collect():
        raise UsageError("d")
    with pytest.raises(UsageError) as caught:
        problems.raise_if_any()
    assert caught.value.problems == ("a", "b", "c", "d")


def test_no_problems_raise_nothing():
    problems = Problems()
    with problems.collect():
        pass
    problems.raise_if_any()
    assert problems.found == []


@pytest.mark.parametrize("kind", [ValueError, KeyError, KeyboardInterrupt])
def test_other_exceptions_are_not_collected(kind):
    problems = Problems()
    with pytest.raises(kind), problems.collect():
        raise kind("a fault of the program")
    assert problems.found == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("lyer", " (did you mean 'layer'?)"),
        ("batches", " (did you mean 'batch'?)"),
        ("xyz", ""),
        ("", ""),
    ],
)
def test_suggestions(word, expected):
    assert suggest(word, iter(["batch", "layer"])) == expected
