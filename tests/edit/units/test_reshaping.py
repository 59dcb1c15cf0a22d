import numpy as np
import pytest

from normwise.edit.units.couplings import Couplings, fixed_axes
from normwise.edit.units.reshaping import reshaped

COUPLINGS = Couplings({"w": (3,), "v": (4,)})
W, V = COUPLINGS.axes["w"][0], COUPLINGS.axes["v"][0]
SIZES = {"n": 2, "h": 5, "one": 1}


def axes(*names: str):
    named = {"w": W, "v": V}
    return tuple(named[n] if n in named else fixed_axes((SIZES[n],))[0] for n in names)


@pytest.mark.parametrize(
    ("before", "shape", "units_at"),
    [
        (("n", "w", "h"), (2, 15), 1),
        (("n", "w", "h"), (6, 5), 0),
        (("n", "w", "h"), (2, 1, 3, 5, 1), 2),
        (("n", "h", "w"), (10, 3), 1),
        (("n", "h", "w"), (5, 2, 3), 2),
        (("n", "w", "one", "h"), (2, 3, 5), 1),
    ],
)
def test_units_are_where_their_numbers_go(before, shape, units_at):
    """A tensor filled with the nodes of its units, reshaped, has them where it is said."""
    couplings = Couplings({"w": (3,), "v": (4,)})
    sizes = [len(nodes) for nodes in axes(*before)]
    at = before.index("w")
    filled = np.broadcast_to(W.reshape([-1 if i == at else 1 for i in range(len(sizes))]), sizes)
    after = reshaped(couplings, axes(*before), shape, "view")
    along = [-1 if i == units_at else 1 for i in range(len(shape))]
    expected = np.broadcast_to(after[units_at].reshape(along), shape)
    assert np.array_equal(filled.reshape(shape), expected)
    assert not any(nodes.any() for i, nodes in enumerate(after) if i != units_at)
    assert not set(W.tolist()) & set(couplings.units()[1])


def test_a_flatten_can_be_undone():
    couplings = Couplings({"w": (3,)})
    flat = reshaped(couplings, axes("n", "w", "h"), (2, 15), "view")
    again = reshaped(couplings, flat, (2, 3, 5), "view")
    assert np.array_equal(again[1], W)


@pytest.mark.parametrize(
    ("before", "shape", "reason"),
    [
        (("n", "v"), (2, 2, 2), "split over several axes by view"),
        (("w", "v"), (12,), "merged with other units by view"),
        (("n", "w"), (3, 2), "split over several axes by view"),
    ],
)
def test_units_that_are_torn_apart_are_fixed(before, shape, reason):
    couplings = Couplings({"w": (3,), "v": (4,)})
    reshaped(couplings, axes(*before), shape, "view")
    node = int((W if "w" in before else V)[0])
    unit, fixed = couplings.units()
    assert fixed[int(unit[node])] == reason
