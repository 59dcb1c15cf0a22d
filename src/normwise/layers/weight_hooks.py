"""Let a module compute with weights that are made from its own, anew in every forward.

The module keeps its class, its parameters and its state dict; what makes the weight is a submodule,
which shows in `print(network)` and follows `train()`, `to()`, copies and pickles. During a forward
the new weight hides the parameter, as an instance's attribute hides one that `__getattr__` finds;
afterwards it is taken away. So optimizers, initializers and checkpoints only see the parameter.
(`torch.nn.utils.parametrize` renames it in the state dict and cannot be pickled.)
"""

import weakref
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from normwise.errors import Problems, suggest


def transform_weights(
    module: nn.Module, name: str, transform: nn.Module, weights: Sequence[str]
) -> None:
    """Make `module` compute with `transform(weight)` in the place of each of these weights.

    Transforms of one weight are applied in the order in which they came.

    Args:
        module: changed in place.
        name: of the transform among the module's children.
        transform: from a weight to one of its shape.
        weights: names of parameters that the module itself holds.

    Raises:
        UsageError: the module has no such parameter, or has a child of this name.

    Example:
        >>> import torch
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> transform_weights(layer, "clip", nn.Hardtanh(), ["weight"])
        >>> with torch.no_grad():
        ...     _ = layer.weight.fill_(5.0)
        >>> layer(torch.ones(2)).item(), layer.weight.tolist()
        (2.0, [[5.0, 5.0]])
    """
    problems = Problems()
    own = [key for key, _ in module.named_parameters(recurse=False)]
    kind = type(module).__name__
    for weight in weights:
        if weight not in own:
            near = suggest(weight, own) or f": it has {', '.join(own) or 'none'}"
            problems.add(f"{kind} has no parameter {weight!r} of its own{near}")
    if hasattr(module, name):
        problems.add(f"{kind} has a {name!r} already: a second one would act on the first")
    if not weights:
        problems.add(f"no weights of {kind} are named: name at least one of {', '.join(own)}")
    problems.raise_if_any()
    module.add_module(name, transform.train(module.training))
    module.register_forward_pre_hook(_Hide(name, tuple(weights)))
    module.register_forward_hook(_Uncover(tuple(weights)), prepend=True, always_call=True)


class _Hide:
    """Puts what the transform makes of the weights before the parameters."""

    def __init__(self, name: str, weights: tuple[str, ...]) -> None:
        self.name, self.weights = name, weights

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:  # noqa: ARG002
        transform = module.get_submodule(self.name)
        for weight in self.weights:
            vars(module)[weight] = transform(getattr(module, weight))
        if isinstance(module, nn.RNNBase):
            _pack(module)


class _Uncover:
    """Takes it away again."""

    def __init__(self, weights: tuple[str, ...]) -> None:
        self.weights = weights

    def __call__(self, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG002
        for weight in self.weights:
            vars(module).pop(weight, None)
        if isinstance(module, nn.RNNBase):
            _list(module, [getattr(module, name) for name in module._flat_weights_names])


def _pack(rnn: Any) -> None:
    """Give the recurrent kernels their list of weights; cuDNN wants it in one piece of memory.

    `flatten_parameters` moves what it is given, so it gets copies of the parameters themselves.
    """
    own = rnn._parameters
    weights = {name: getattr(rnn, name) for name in rnn._flat_weights_names}
    if all(weight is own[name] for name, weight in weights.items()):
        return
    _list(rnn, [w.clone() if w.is_cuda and w is own[n] else w for n, w in weights.items()])
    rnn.flatten_parameters()


def _list(rnn: Any, weights: list[Tensor]) -> None:
    rnn._flat_weights = weights
    rnn._flat_weight_refs = [weakref.ref(weight) for weight in weights]
