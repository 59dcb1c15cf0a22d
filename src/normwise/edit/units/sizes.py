"""What torch's modules hold of their sizes besides their tensors."""

from torch import Tensor, nn

from normwise.errors import Problems


def tensors_of(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers by name, shared ones once."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def check_shapes(network: nn.Module, problems: Problems) -> None:
    """Note the parameters of lazy modules that have no shape yet."""
    lazy = [name for name, tensor in tensors_of(network).items() if nn.parameter.is_lazy(tensor)]
    if lazy:
        problems.add(f"{', '.join(lazy)} have no shape yet: run the network on one batch first")


def counters(network: nn.Module) -> dict[str, nn.Module]:
    """Return the norms over channels that have no tensor to tell their number by."""
    return {
        f"{path}.(channels)": module
        for path, module in network.named_modules()
        if isinstance(module, nn.modules.batchnorm._NormBase | nn.GroupNorm)
        and not tensors_of(module)
    }


def channels(norm: nn.Module) -> int:
    """Return how many channels a norm was made for."""
    return norm.num_channels if isinstance(norm, nn.GroupNorm) else vars(norm)["num_features"]


def refit(module: nn.Module, channels: int | None = None) -> None:
    """Let a module's attributes agree with the shapes of its tensors.

    Args:
        module: of any kind; those that hold no sizes are left alone.
        channels: for a norm without tensors, how many there are now.
    """
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.modules.conv._ConvTransposeNd):
        inputs, per_group = module.weight.shape[:2]
        module.groups = _groups(module, inputs, module.in_channels)
        module.in_channels, module.out_channels = inputs, per_group * module.groups
    elif isinstance(module, nn.modules.conv._ConvNd):
        outputs, per_group = module.weight.shape[:2]
        module.groups = _groups(module, outputs, module.out_channels)
        module.in_channels, module.out_channels = per_group * module.groups, outputs
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.GroupNorm):
        count = channels or _held(module.weight, module.num_channels)
        module.num_groups = module.num_groups * count // module.num_channels
        module.num_channels = count
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        held = module.running_mean if module.weight is None else module.weight
        vars(module)["num_features"] = channels or _held(held, module.num_features)


def _held(tensor: Tensor | None, former: int) -> int:
    return former if tensor is None else len(tensor)


def _groups(convolution: nn.modules.conv._ConvNd, now: int, before: int) -> int:
    """Return how many groups of the former size there are now; one group takes all channels."""
    groups = convolution.groups
    return groups * now // before if groups > 1 else 1
