from itertools import combinations

import numpy as np
import pytest

from normwise.report.palette import LIGHT, THEME, labels, pens

# Machado, Oliveira, Fernandes 2009, table 1, severity 1.0
DICHROMATS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
SIDES = {"light": 0, "dark": 1}


def linear(colour):
    srgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    low, high = sorted(float(linear(each) @ [0.2126, 0.7152, 0.0722]) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def oklab(rgb):
    """Ottosson 2020: a space in which distance is nearly what the eye sees."""
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(lab) @ np.cbrt(np.array(cones) @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("side", SIDES)
def test_everything_written_is_readable_on_paper(side):
    paper = THEME["paper"][SIDES[side]]
    for name, pair in THEME.items():
        if name not in ("paper", "panel", "rule", "grid"):
            assert contrast(pair[SIDES[side]], paper) >= 4.5, name


@pytest.mark.parametrize("eyes", DICHROMATS)
@pytest.mark.parametrize("side", SIDES)
def test_dichromats_tell_variants_apart(side, eyes):
    seen = [
        oklab(np.array(DICHROMATS[eyes]) @ linear(THEME[f"v{slot}"][SIDES[side]]))
        for slot in range(8)
    ]
    for (i, one), (j, other) in combinations(enumerate(seen), 2):
        least = 0.05 if max(i, j) < 5 else 0.03
        assert np.linalg.norm(one - other) >= least, (i, j)


def test_every_light_colour_names_one_token():
    assert len(set(LIGHT.values())) == len(LIGHT)


def test_the_baseline_is_grey_wherever_it_stands():
    chosen = pens(["batch", "plain", "layer"], baseline="plain")
    assert [pen.token for pen in chosen.values()] == ["v1", "v0", "v2"]
    assert [pen.index for pen in chosen.values()] == [0, 1, 2]


def test_beyond_the_colours_lines_are_dashed():
    names = ["plain", *(f"lr={n}x" for n in range(14))]
    chosen = list(pens(names, baseline="plain").values())
    looks = [(pen.token, pen.dashes) for pen in chosen]
    assert len(set(looks)) == len(looks)
    assert not any(pen.dashes for pen in chosen[:8])
    assert all(pen.dashes for pen in chosen[8:])


def test_names_that_shorten_alike_keep_what_sets_them_apart():
    names = [f"batch:after+dropout=0.{n}+input-dropout=0.1" for n in (10, 15)]
    assert list(labels(names).values()) == ["…dropout=0.10", "…dropout=0.15"]
