"""Tell whether two networks are the same: same parts, same weights, same function."""

import hashlib
from collections.abc import Mapping

import torch
from torch import nn

from normwise.samples import Samples, forward
from normwise.stack import seeded
from normwise.trace import undisturbed


def fingerprint(network: nn.Module, example: Samples) -> str:
    """Return 16 hex digits that change with a network's modules, their settings, values or outputs.

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
        told = f"{path} {type(module).__qualname__}({module.extra_repr()})\n"
        digest.update(told.encode())
    values = dict([*network.named_parameters(), *network.named_buffers()])
    # Outputs tell functions apart that modules do not show; seeded, for dropout draws masks.
    with undisturbed(network), seeded(0), torch.no_grad():
        for mode in (True, False):
            output = forward(network.train(mode), example)
            named = output if isinstance(output, Mapping) else {"output": output}
            values |= {f"{name} with training={mode}": value for name, value in named.items()}
    for name, value in values.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
