"""What is known of a module, and of a place where an activation is called."""

from dataclasses import dataclass

from torch import Tensor, nn

from normwise.evidence.norms import Norm
from normwise.evidence.series import Series
from normwise.evidence.units import Units


@dataclass(frozen=True, eq=False)
class Module:
    """What is known of one module.

    Attributes:
        path: its name in `named_modules()`, behind its network's name where there are several.
        module: the module itself: read it, do not call or change it.
        calls: of its forward in measured training passes.
        train_calls: those of them in training mode.
        recomputed: calls during a backward pass, which is what checkpointing does.
        most_calls: the most calls in one pass through the network.
        output: of modules that call no other module; per unit.
        input: of batch and instance norms, in training passes.
        eval_input: likewise, in passes in evaluation mode without gradients.
        gradient: Euclidean norm of the loss's derivative by the output, per backward pass.
        buffers_before: running mean and variance of norms when watching began, by name.
        norm: of batch and instance norms, what they keep.

    Example:
        >>> import torch
        >>> from normwise.evidence import probe
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> hidden = probe(net, [torch.randn(32, 4)]).modules["0"]
        >>> hidden.type, hidden.calls, hidden.output.mean.shape
        ('Linear', 1, (8,))
    """

    path: str
    module: nn.Module
    calls: int = 0
    train_calls: int = 0
    recomputed: int = 0
    most_calls: int = 0
    output: Units | None = None
    input: Units | None = None
    eval_input: Units | None = None
    gradient: Series | None = None
    buffers_before: dict[str, Tensor] | None = None
    norm: Norm | None = None

    @property
    def type(self) -> str:
        """The name of its class."""
        return type(self.module).__name__


@dataclass(frozen=True, eq=False)
class Activation:
    """One place where an activation is called, as a module or as a function.

    Attributes:
        path: of the module whose forward calls it, or of the activation module itself, with
            `:relu` or `:relu.2` behind where it is a function.
        module: path of that module.
        name: torch's name of the function.
        output: per unit.

    Example:
        >>> import torch
        >>> from normwise.evidence import probe
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> [relu] = probe(net, [torch.randn(32, 4)]).activations.values()
        >>> relu.path, relu.name, relu.output.dead < 0.5
        ('1', 'relu', True)
    """

    path: str
    module: str
    name: str
    output: Units
