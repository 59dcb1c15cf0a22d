import pytest
import torch
from torch import nn

from normwise.errors import UsageError
from normwise.layers import BatchNorm1d, ChannelsLast


@pytest.mark.parametrize("shape", [(6, 3), (6, 5, 3), (4, 2, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_is_batch_norm_of_the_flattened_tensor(shape, training):
    torch.manual_seed(0)
    norm, reference = ChannelsLast(nn.BatchNorm1d(3)), nn.BatchNorm1d(3)
    results = []
    x = 5 + 2 * torch.randn(shape)
    for module, inner, flat in ((norm, norm.norm, False), (reference, reference, True)):
        with torch.no_grad():
            inner.weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
            inner.bias.copy_(torch.tensor([0.1, 0.2, 0.3]))
            inner.running_mean.fill_(4)
        module.train(training)
        inputs = x.clone().requires_grad_()
        out = module(inputs.reshape(-1, 3)).reshape(shape) if flat else module(inputs)
        (out * torch.arange(out.numel()).view(shape)).sum().backward()
        gradients = [inputs.grad, inner.weight.grad, inner.bias.grad]
        results.append([out, *gradients, *inner.buffers()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_equals_the_formula_over_batch_and_positions():
    x = 3 + torch.randn(6, 5, 3, dtype=torch.float64)
    y = ChannelsLast(nn.BatchNorm1d(3).double())(x)
    expected = (x - x.mean((0, 1))) / (x.var((0, 1), unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(y, expected)


def test_tensors_that_are_not_contiguous():
    x = torch.randn(3, 5, 6).transpose(0, 2)
    norm = ChannelsLast(nn.BatchNorm1d(3))
    torch.testing.assert_close(norm(x), norm(x.contiguous()))


def test_wrong_shapes_are_refused():
    norm = ChannelsLast(BatchNorm1d(3))
    with pytest.raises(UsageError, match=r"takes an input of shape \(N, \*, C\), not \(3,\)"):
        norm(torch.ones(3))
    with pytest.raises(UsageError, match=r"shape \(5, 2\), for .* \(2, 5, 3\): it takes \(2, 5\)"):
        norm(torch.ones(2, 5, 3), torch.ones(5, 2, dtype=torch.bool))
    with pytest.raises(UsageError, match=r"takes no mask: .* a normwise\.layers\.BatchNorm1d"):
        ChannelsLast(nn.BatchNorm1d(3))(torch.ones(2, 5, 3), torch.ones(2, 5, dtype=torch.bool))
