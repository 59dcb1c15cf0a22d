import numpy as np

from normwise.edit.units.couplings import OF_FIXED_SIZE, Couplings


def test_what_is_joined_is_one_unit_however_it_was_joined():
    couplings = Couplings({"a": (3,), "b": (3,), "c": (3,)})
    a, b, c = (couplings.axes[name][0] for name in "abc")
    couplings.join(a, b)
    couplings.join(c[:2], b[:2])
    unit, fixed = couplings.units()
    assert np.array_equal(unit[a], unit[b])
    assert np.array_equal(unit[a][:2], unit[c][:2])
    assert len(set(unit[[*a, *c]])) == 4
    assert set(fixed) == {unit[0]}


def test_a_unit_is_fixed_if_one_of_its_places_is_and_the_telling_reason_counts():
    couplings = Couplings({"a": (2,), "b": (2,)})
    a, b = couplings.axes["a"][0], couplings.axes["b"][0]
    couplings.join(a, np.array([0, b[1]]))
    couplings.fix(b[:1], "for a reason")
    couplings.join(b[:1], a[:1])
    couplings.fix(a[:1], "for another")
    unit, fixed = couplings.units()
    assert unit[a[1]] not in fixed
    assert fixed[unit[a[0]]] in ("for a reason", "for another")
    assert fixed[unit[0]] == OF_FIXED_SIZE
