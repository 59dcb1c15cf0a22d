import torch

from normwise.edit.sampling import Moments


def taken(samples: torch.Tensor, size: int) -> Moments:
    moments = Moments()
    for block in samples.split(size):
        moments.add(block)
    return moments


def test_blocks_pool_to_the_whole():
    samples = torch.randn(23, 4, dtype=torch.float64) * 3 + 1
    for size in (1, 7, 23):
        torch.testing.assert_close(taken(samples, size).mean, samples.mean(0))
        torch.testing.assert_close(taken(samples, size).std, samples.std(0))


def test_a_large_mean_costs_no_digits():
    samples = torch.randn(1000, 2) + 1e4
    expected = samples.double().std(0).float()
    torch.testing.assert_close(taken(samples, 10).std, expected, rtol=1e-6, atol=0)


def test_complex_and_whole_numbers():
    samples = torch.randn(9, 2, dtype=torch.complex64)
    torch.testing.assert_close(taken(samples, 4).mean, samples.mean(0))
    torch.testing.assert_close(taken(samples, 4).std, samples.std(0))
    counts = torch.tensor([[1], [2], [6]])
    assert taken(counts, 2).mean.tolist() == [3.0]
    assert taken(counts > 1, 2).mean.item() == torch.tensor(2 / 3).item()
