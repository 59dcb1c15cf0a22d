"""Tell whether two networks are the same: same parts, same weights, same function."""

import hashlib

import torch
from torch import Tensor, nn

from normwise.trace import undisturbed


def fingerprint(network: nn.Module, example: Tensor) -> str:
    """Return 16 hex digits that change with a network's modules, values or outputs.

    Args:
        network: left as it was.
        example: a batch that it runs on.

    Example:
        >>> net = nn.Linear(2, 2)
        >>> example = torch.ones(1, 2)
        >>> before = fingerprint(net, example)
        >>> _ = nn.init.zeros_(net.bias)
        >>> fingerprint(net, example) == before
        False
    """
    digest = hashlib.blake2b(digest_size=8)
    for path, module in network.named_modules():
        digest.update(f"{path} {type(module).__qualname__}\n".encode())
    with undisturbed(network), torch.no_grad():
        output = network.eval()(example)
    for name, value in [*network.state_dict().items(), ("output", output)]:
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(memoryview(value.detach().cpu().contiguous().numpy()).cast("B"))
    return digest.hexdigest()
