import math

import torch

from normwise.layers import Uout


def test_noise_is_uniform():
    torch.manual_seed(0)
    n, beta = 200_000, 0.3
    noise = Uout(beta)(torch.ones(n, dtype=torch.float64)) - 1
    assert noise.abs().max() <= beta
    assert abs(noise.mean()) < 5 * beta / math.sqrt(3 * n)
    ordered = noise.sort().values
    uniform = torch.linspace(-beta, beta, n, dtype=torch.float64)
    assert (ordered - uniform).abs().max() / (2 * beta) < 2 / math.sqrt(n)  # Kolmogorov-Smirnov


def test_variance_moves_by_a_third_of_the_square():
    torch.manual_seed(1)
    x = torch.randn(500_000, dtype=torch.float64)
    assert abs(Uout(0.6)(x).var() / x.var() - (1 + 0.36 / 3)) < 0.01
