import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

from normwise.errors import UsageError
from normwise.layers import LockedDropout


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_mask_per_sequence_and_feature(batch_first: bool):
    torch.manual_seed(0)
    x = torch.full((300, 9, 40), 2.0)
    x = x if batch_first else x.transpose(0, 1)
    ratio = LockedDropout(0.4, batch_first=batch_first)(x) / x
    ratio = ratio if batch_first else ratio.transpose(0, 1)
    masks = ratio[:, 0]
    assert torch.equal(ratio, masks[:, None].expand_as(ratio))
    torch.testing.assert_close(masks.unique(), torch.tensor([0.0, 1 / 0.6]), rtol=1e-5, atol=0)
    assert abs((masks == 0).double().mean() - 0.4) < 5 * (0.24 / masks.numel()) ** 0.5
    shares = (masks == 0).double().mean(0)  # of the sequences, by feature
    assert ((shares - 0.4).abs() < 5 * (0.24 / 300) ** 0.5).all()


def test_one_sequence_without_a_batch():
    ratio = LockedDropout(0.5)(torch.ones(6, 30))
    assert torch.equal(ratio, ratio[:1].expand(6, 30))
    assert 0 < (ratio == 0).sum() < ratio.numel()


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("sorted_by_length", [True, False])
def test_packed_sequences_keep_their_masks(batch_first: bool, sorted_by_length: bool):
    lengths = [5, 3, 3, 1] if sorted_by_length else [3, 5, 1, 3]
    sequences = [torch.rand(length, 20) + 1 for length in lengths]
    packed = pack_sequence(sequences, enforce_sorted=sorted_by_length)
    layer = LockedDropout(0.5, batch_first=batch_first)
    dropped = unpack_sequence(layer(packed))
    masks = []
    for before, after in zip(sequences, dropped, strict=True):
        ratio = after / before
        torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))
        torch.testing.assert_close(ratio * (ratio - 2), torch.zeros_like(ratio), atol=1e-5, rtol=0)
        masks.append(ratio[0])
    assert not torch.equal(masks[0], masks[1])
    assert layer.eval()(packed).data is packed.data
    classic = LockedDropout(0.5, scaling="classic").eval()(packed)
    torch.testing.assert_close(classic.data, packed.data / 2)


def test_images_are_refused():
    with pytest.raises(UsageError, match=r"sequences of shape \(L, N, C\) or .* \(2, 3, 4, 5\)"):
        LockedDropout()(torch.ones(2, 3, 4, 5))
