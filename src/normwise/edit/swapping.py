"""Put one module in the place of another."""

from torch import nn

from normwise.edit.hosting import guests

_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_is_full_backward_hook",
)


def swap(network: nn.Module, former: nn.Module, successor: nn.Module) -> None:
    """Replace a module under every name that the network has for it.

    The successor takes over the mode, what the former hosts, and its hooks: the very registries,
    so that handles which the user holds still remove them.
    """
    successor.train(former.training)  # before the guests join, which may have modes of their own
    for name, guest in guests(former).items():
        successor.add_module(name, guest)
    for registry in _HOOKS:
        vars(successor)[registry] = vars(former)[registry]
    for path, module in list(network.named_modules(remove_duplicate=False)):
        if module is former:
            network.set_submodule(path, successor)
    if not isinstance(successor, nn.Identity):
        _avoid_fused_kernel(network, successor)


def _avoid_fused_kernel(network: nn.Module, successor: nn.Module) -> None:
    """Let no transformer layer compute in evaluation what it takes its children to be.

    Its fused kernel reads their weights and knows LayerNorm, ReLU and GELU only.
    """
    for layer in network.modules():
        if isinstance(layer, nn.TransformerEncoderLayer) and successor in layer.children():
            vars(layer)["activation_relu_or_gelu"] = 0
