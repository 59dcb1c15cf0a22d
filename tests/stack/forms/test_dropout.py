"""Masks are torch's own, run by run: same stream, same order, same values."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from normwise.stack.forms import DropoutForms, Masks, PerRun, Streams

INPUTS: dict[str, tuple[Callable[..., Tensor], Tensor]] = {
    "dropout": (F.dropout, torch.ones(5, 7)),
    "large": (F.dropout, torch.ones(60, 70)),
    "float64": (F.dropout, torch.ones(5, 7).double()),
    "transposed": (F.dropout, torch.ones(5, 7, 3).permute(2, 0, 1)),
    "channels last": (F.dropout, torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last)),
    "1d": (F.dropout1d, torch.ones(5, 7, 3)),
    "1d, one sample": (F.dropout1d, torch.ones(5, 7)),
    "2d": (F.dropout2d, torch.ones(5, 7, 2, 3)),
    "2d, lines": (F.dropout2d, torch.ones(5, 7, 3)),
    "2d, rows": (F.dropout2d, torch.ones(5, 7)),
    "3d": (F.dropout3d, torch.ones(5, 7, 2, 2, 2)),
    "3d, one sample": (F.dropout3d, torch.ones(5, 7, 2, 2)),
}


@pytest.mark.filterwarnings("ignore:dropout")
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("name", INPUTS)
def test_masks_are_torchs(name: str, inplace: bool):
    function, x = INPUTS[name]
    sites, seeds = Masks(), (4, 9)

    def forward(x: Tensor) -> Tensor:
        once = function(x.clone(), 0.3, True, inplace)
        return once + 10 * function(x.clone(), p=0.6, inplace=inplace)

    with DropoutForms(sites):
        assert torch.equal(forward(x), 11 * x)
    streams = Streams(seeds, x.device)
    batches = [streams.draw(sites.sites) for _ in range(2)]
    for run, seed in enumerate(seeds):
        torch.manual_seed(seed)
        for masks in batches:
            expected = forward(x)
            with DropoutForms(Masks([mask[run] for mask in masks])):
                torch.testing.assert_close(forward(x), expected, rtol=1e-6, atol=0)


def test_p_of_each_run_and_those_that_draw_nothing():
    p = (0.0, 0.25, 1.0, 0.5)
    sites = Masks()
    with DropoutForms(sites):
        F.dropout(torch.ones(4000), PerRun(p))
        F.dropout(torch.ones(4000), 0.5)
    first, second = Streams([7] * 4, torch.device("cpu")).draw(sites.sites)
    for run, each in enumerate(p):
        torch.manual_seed(7)
        assert torch.equal(first[run], F.dropout(torch.ones(4000), each))
        assert torch.equal(second[run], F.dropout(torch.ones(4000), 0.5))
    assert torch.equal(second[0], second[2])
    assert not torch.equal(second[0], second[1])


def test_nothing_is_dropped_out_of_training():
    sites = Masks()
    with DropoutForms(sites):
        x = torch.ones(3)
        assert F.dropout(x, 0.5, False) is x
        assert F.dropout2d(x[None, :, None, None], training=False).shape == (1, 3, 1, 1)
    assert not sites.sites


def test_streams_of_the_runs_that_stay_go_on():
    sites: Any = Masks()
    with DropoutForms(sites):
        F.dropout(torch.ones(50), 0.5)
    whole, fewer = (Streams([1, 2, 3], torch.device("cpu")) for _ in range(2))
    whole.draw(sites.sites)
    fewer.draw(sites.sites)
    fewer.keep([0, 2])
    [all_masks], [masks] = whole.draw(sites.sites), fewer.draw(sites.sites)
    assert torch.equal(masks, all_masks[[0, 2]])


def test_a_number_of_every_run_reads_as_the_first():
    p = PerRun([0.5, 0.25])
    assert p == 0.5
    assert p.values == (0.5, 0.25)


@pytest.mark.parametrize(
    ("fill", "same"),
    [
        (lambda x: x.normal_(), lambda x: x.normal_(0.0, 1.0)),
        (lambda x: x.normal_(std=PerRun([2.0, 3.0])), lambda x: x.normal_(0.0, 3.0)),
        (lambda x: x.uniform_(-1.0), lambda x: x.uniform_(-1.0, 1.0)),
        (lambda x: x.uniform_(to=PerRun([2.0, 3.0]) / 2), lambda x: x.uniform_(0.0, 1.5)),
        (lambda x: x.bernoulli_(1 - PerRun([0.5, 0.1])), lambda x: x.bernoulli_(0.9)),
    ],
)
@pytest.mark.parametrize("shape", [(5, 3), (40, 30)])
def test_random_fills_are_torchs(fill: Any, same: Any, shape: tuple[int, ...]):
    x = torch.ones(shape)
    sites = Masks()
    with DropoutForms(sites):
        fill(x.new_empty(shape))
    drawn = Streams([4, 9], x.device).draw(sites.sites)
    with DropoutForms(Masks([each[1] for each in drawn])):
        found = x.new_empty(shape)
        assert fill(found) is found
    torch.manual_seed(9)
    assert torch.equal(found, same(torch.empty(shape)))


def test_arithmetic_is_for_every_run():
    p = PerRun([0.5, 0.25])
    assert (1 - p).values == (0.5, 0.75)
    assert (2 * p + 1).values == (2.0, 1.5)
    assert (p / (1 - p)).values == (1.0, 1 / 3)
    assert (p**2).values == (0.25, 0.0625)
    assert (p - p).values == (0.0, 0.0)
    assert (1 / p).values == (2.0, 4.0)
