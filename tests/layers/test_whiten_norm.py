import copy

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from normwise.errors import UsageError
from normwise.layers import WhitenNorm1d, WhitenNorm2d
from normwise.layers.whiten_norm import whitening


def drawn(*shape: int) -> Tensor:
    """Correlated values, far from 0."""
    torch.manual_seed(0)
    channels = shape[1]
    mix = torch.randn(channels, channels, dtype=torch.float64)
    return torch.einsum("ij,nj...->ni...", mix, torch.randn(shape, dtype=torch.float64)) + 5


def by_formula(x: Tensor, groups: int, eps: float, iterations: int) -> Tensor:
    """Equations 3 to 7 of the paper, group by group."""
    rows = x.transpose(0, 1).flatten(1)
    out = []
    for part in rows.chunk(groups):
        centred = part - part.mean(1, keepdim=True)
        eye = torch.eye(len(part), dtype=x.dtype)
        cov = centred @ centred.T / part.shape[1] + eps * eye
        normal, root = cov / cov.trace(), eye
        for _ in range(iterations):
            root = (3 * root - root @ root @ root @ normal) / 2
        out.append(root / cov.trace().sqrt() @ centred)
    back = torch.cat(out).view(x.shape[1], x.shape[0], *x.shape[2:])
    return back.transpose(0, 1)


@pytest.mark.parametrize("shape", [(30, 6), (7, 6, 5), (5, 6, 3, 4)])
@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("iterations", [1, 5])
def test_equals_the_papers_formula(shape: tuple[int, ...], groups: int, iterations: int):
    kind = WhitenNorm2d if len(shape) == 4 else WhitenNorm1d
    norm = kind(6, eps=1e-3, num_groups=groups, iterations=iterations).double()
    x = drawn(*shape)
    plain = by_formula(x, groups, 1e-3, iterations)
    torch.testing.assert_close(norm(x), plain, rtol=1e-9, atol=1e-9)
    with torch.no_grad():
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    along = (-1, *(1,) * (len(shape) - 2))
    expected = plain * norm.weight.view(along) + norm.bias.view(along)
    torch.testing.assert_close(norm(x), expected, rtol=1e-9, atol=1e-9)


def test_whitens_wholly_with_more_steps():
    y = WhitenNorm1d(6, iterations=30).double()(drawn(200, 6))
    torch.testing.assert_close(
        y.T.cov(correction=0), torch.eye(6, dtype=torch.float64), atol=1e-3, rtol=0
    )


def test_many_steps_in_float32_stay_at_the_inverse_root():
    torch.manual_seed(0)
    half = torch.randn(64, 70)
    cov = half @ half.T / 70
    root = whitening(cov[None], 1e-5, 60)[0]
    values, vectors = torch.linalg.eigh(cov.double())
    exact = vectors @ (values + 1e-5).rsqrt().diag() @ vectors.T
    torch.testing.assert_close(root.double(), exact, rtol=1e-3, atol=1e-3)


def test_one_channel_per_group_is_batch_norm():
    x = drawn(30, 4, 3, 2)
    ours = WhitenNorm2d(4, num_groups=4, iterations=40).double()
    theirs = nn.BatchNorm2d(4).double()
    for training in (True, True, False):
        torch.testing.assert_close(
            ours.train(training)(x), theirs.train(training)(x), rtol=1e-8, atol=1e-8
        )
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_cov.flatten(), theirs.running_var)
    assert ours.num_batches_tracked == theirs.num_batches_tracked


def test_running_statistics_are_means_over_batches_without_momentum():
    norm = WhitenNorm1d(3, momentum=None).double()
    batches = [drawn(20 + n, 3) + n for n in range(3)]
    for batch in batches:
        norm(batch)
    torch.testing.assert_close(norm.running_mean, torch.stack([b.mean(0) for b in batches]).mean(0))
    cov = torch.stack([b.T.cov() for b in batches]).mean(0)
    torch.testing.assert_close(norm.running_cov[0], cov)
    norm.reset_running_stats()
    assert torch.equal(norm.running_cov[0], torch.eye(3, dtype=torch.float64))
    assert norm.num_batches_tracked == 0


def test_evaluation_uses_the_running_statistics_and_leaves_them():
    norm = WhitenNorm1d(4, momentum=1.0, eps=0.0, iterations=30).double()
    x = drawn(50, 4)
    norm(x)
    before = copy.deepcopy(norm.state_dict())
    y = norm.eval()(x)
    torch.testing.assert_close(y.T.cov(), torch.eye(4, dtype=torch.float64), atol=1e-6, rtol=0)
    torch.testing.assert_close(norm(x[:1]), y[:1])
    assert all(torch.equal(norm.state_dict()[name], value) for name, value in before.items())


def test_without_running_statistics():
    norm = WhitenNorm1d(4, track_running_stats=False, affine=False).double()
    assert not norm.state_dict()
    x = drawn(50, 4)
    assert torch.equal(norm(x), norm.eval()(x))


def test_means_far_from_zero_cost_no_digits():
    torch.manual_seed(0)
    x = torch.randn(4000, 3)
    near, far = WhitenNorm1d(3)(x), WhitenNorm1d(3)(x + 1e4)
    torch.testing.assert_close(near, far, atol=5e-3, rtol=0)


def test_autocast_does_not_reach_the_covariance():
    x = drawn(40, 8, 5).float()
    expected = WhitenNorm1d(8)(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(WhitenNorm1d(8)(x), expected)


def test_memory_format_and_device_of_what_is_made():
    norm = WhitenNorm2d(4, dtype=torch.float64, device="meta")
    assert norm.running_cov.dtype == torch.float64
    assert norm.running_cov.device.type == "meta"
    x = drawn(2, 4, 5, 6).to(memory_format=torch.channels_last)
    norm = WhitenNorm2d(4).double()
    torch.testing.assert_close(norm(x), norm(x.contiguous()))


def test_mistakes():
    with pytest.raises(UsageError) as caught:
        WhitenNorm2d(6, num_groups=4, iterations=0)
    assert len(caught.value.problems) == 2
    for norm, shape in [
        (WhitenNorm1d(3), (2, 4)),
        (WhitenNorm1d(3), (2, 3, 4, 5)),
        (WhitenNorm2d(3), (2, 3, 4)),
    ]:
        with pytest.raises(UsageError, match=r"takes inputs of shape \(N, C.* with C = 3"):
            norm(torch.ones(shape))
    with pytest.raises(UsageError, match=r"more than one value per channel.* \(1, 3\)"):
        WhitenNorm1d(3)(torch.ones(1, 3))
    assert WhitenNorm1d(3).eval()(torch.ones(1, 3)).shape == (1, 3)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_counts_a_batch_once(reentrant: bool):
    ours = WhitenNorm1d(4, dtype=torch.float64)
    theirs, x = copy.deepcopy(ours), drawn(9, 4).requires_grad_()
    for _ in range(2):
        checkpoint(ours, x, use_reentrant=reentrant).pow(3).sum().backward()
        theirs(x).pow(3).sum().backward()
    for one, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        assert torch.equal(one, other)
    assert ours.num_batches_tracked == 2
    assert ours.weight.grad is not None
    assert torch.equal(ours.weight.grad, theirs.weight.grad)
