"""Seeds of one purpose, and a random state that comes back."""

import random

import numpy as np
import pytest
import torch

from normwise.stack import derive, seeded


def states() -> tuple[object, ...]:
    numpy_state = np.random.get_state()[1].tobytes()
    return torch.get_rng_state().numpy().tobytes(), numpy_state, random.getstate()


def test_seeding_fixes_all_three_and_restores_them():
    before, draws = states(), []
    for seed in (3, 3, 4):
        with seeded(seed):
            draws.append((torch.rand(()).item(), np.random.rand(), random.random()))
    assert draws[0] == draws[1]
    assert len({*draws[0], *draws[2]}) == 6
    assert states() == before


def test_an_exception_restores_them_too():
    before = states()
    with pytest.raises(KeyError), seeded(1):
        raise KeyError([torch.rand(1), np.random.rand(), random.random()])
    assert states() == before


def test_inside_it_is_torchs_own_seed():
    with seeded(2**63 - 1):
        ours = torch.rand(3)
    generator = torch.Generator().manual_seed(2**63 - 1)
    assert torch.equal(ours, torch.rand(3, generator=generator))


def test_derived_seeds_differ_by_seed_and_purpose_and_fit_torch():
    seeds = {derive(s, p) for s in range(200) for p in ("order", "dropout", "init", "o", "r")}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
