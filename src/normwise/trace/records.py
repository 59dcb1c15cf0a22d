"""What a trace tells about a network: its layers, norms and activations."""

from dataclasses import dataclass, field

from torch import nn

from normwise.trace.functions import LayerModule

FUNCTION = "(a function)"
"""Stands where a module's path would, for a norm or dropout that is called as a function."""


@dataclass(frozen=True)
class Layer:
    """A Linear or convolution as the forward pass met it.

    Attributes:
        path: its name in `network.named_modules()`.
        module: the layer itself.
        shape: of its output, batch first.
        calls: how often one forward pass uses it.
        first: it sees the network's input, with no other layer before it.
        norm: path of the norm between it and its activation, `FUNCTION`, or None.

    Example:
        >>> Layer("conv", nn.Conv2d(3, 6, 5), (2, 6, 24, 24)).unit_axis
        1
    """

    path: str
    module: LayerModule
    shape: tuple[int, ...]
    calls: int = 1
    first: bool = False
    norm: str | None = None

    @property
    def unit_axis(self) -> int:
        """The output axis that counts units or channels."""
        return len(self.shape) - 1 if isinstance(self.module, nn.Linear) else 1

    def unit_axis_in(self, shape: tuple[int, ...]) -> int:
        """Return the axis that counts this layer's units in a later tensor of the given shape."""
        own = len(shape) - 1 if isinstance(self.module, nn.Linear) else 1
        units = self.shape[self.unit_axis]
        fitting = [axis for axis in range(1, len(shape)) if shape[axis] == units]
        if own in fitting or (not fitting and len(shape) == len(self.shape)):
            return own
        return fitting[-1] if fitting else 1


@dataclass(frozen=True)
class Norm:
    """A norm between a hidden layer and its activation, or right behind the activation.

    Attributes:
        path: its name in `network.named_modules()`.
        shape: of its input, batch first.
        unit_axis: the axis of its input that counts units or channels.
        calls: how often one forward pass uses it.
        absorbs: paths of the layers whose whole output goes into it, unchanged, and nowhere else:
            if it subtracts a mean per unit, it undoes their biases.

    Example:
        >>> import torch
        >>> from normwise.trace import trace
        >>> layers = nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3)
        >>> trace(nn.Sequential(*layers), torch.randn(2, 4)).norms
        {'1': Norm(path='1', shape=(2, 8), unit_axis=1, calls=1, absorbs=('0',))}
    """

    path: str
    shape: tuple[int, ...]
    unit_axis: int
    calls: int = 1
    absorbs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Activation:
    """An activation of a hidden layer: it is fed by layers, and feeds another.

    Attributes:
        name: torch's name of the function, such as `relu`.
        layers: paths of the layers whose outputs reach it with no other activation between.
        owner: path of the module whose `forward` calls it.
        position: it is the owner's `position`-th activation, counted from 0.
        shape: of its output, batch first.
        unit_axis: the output axis that counts units or channels.
        module: path of the activation where it is a module of its own, else None.
        shared: that module is called at other places too.
        calls: how often one forward pass comes by this place.
        norm: path of the norm that follows it, `FUNCTION`, or None.
        dropout: path of the dropout that follows it, `FUNCTION`, or None.

    Example:
        >>> import torch
        >>> from normwise.trace import trace
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3))
        >>> [relu] = trace(net, torch.randn(2, 4)).activations
        >>> relu.name, relu.layers, relu.module, relu.dropout
        ('relu', ('0',), '1', '2')
    """

    name: str
    layers: tuple[str, ...]
    owner: str
    position: int
    shape: tuple[int, ...]
    unit_axis: int
    module: str | None = None
    shared: bool = False
    calls: int = 1
    norm: str | None = None
    dropout: str | None = None


@dataclass(frozen=True)
class Trace:
    """What one forward pass showed.

    Attributes:
        layers: every Linear and convolution that was used, by path, in order of first use.
        activations: those of hidden layers, in order of use, as often as they were used. The head
            is the part of the network behind its last layers, and an activation there is left out.
        norms: the norm modules next to these activations, by path.
        activation_modules: paths of all modules that are nothing but an activation.

    Example:
        >>> import torch
        >>> from normwise.trace import trace
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())
        >>> found = trace(net, torch.randn(2, 4))
        >>> list(found.layers), [activation.name for activation in found.activations]
        (['0', '2'], ['relu'])
    """

    layers: dict[str, Layer]
    activations: tuple[Activation, ...]
    norms: dict[str, Norm] = field(default_factory=dict)
    activation_modules: frozenset[str] = frozenset()

    @property
    def hidden(self) -> tuple[Layer, ...]:
        """The layers that feed an activation and are not the head, in order of first use."""
        fed = {path for activation in self.activations for path in activation.layers}
        return tuple(layer for path, layer in self.layers.items() if path in fed)

    @property
    def places(self) -> tuple[Activation, ...]:
        """The activations, each place in the code once, in order of first use."""
        first: dict[tuple[str, int], Activation] = {}
        for activation in self.activations:
            first.setdefault((activation.owner, activation.position), activation)
        return tuple(first.values())
