"""Let an optimizer follow a network whose parameters change."""

from collections.abc import Mapping

from torch import nn
from torch.optim import Optimizer

from normwise.errors import Problems


def check_optimizer(optimizer: Optimizer | None, network: nn.Module, problems: Problems) -> None:
    """Note an optimizer that cannot follow an edit of this network."""
    if optimizer is None:
        return
    if not isinstance(optimizer, Optimizer):
        problems.add(
            f"optimizer={type(optimizer).__name__}: give a torch.optim.Optimizer that trains this "
            "network, or leave it out"
        )
    elif not _held(optimizer).keys() & set(map(id, network.parameters())):
        problems.add(
            "optimizer holds no parameter of this network: make it from network.parameters(), or "
            "leave it out"
        )


def hand_over(
    optimizer: Optimizer, before: Mapping[str, nn.Parameter], after: Mapping[str, nn.Parameter]
) -> None:
    """Take the parameters that have left the network out of an optimizer, and the new ones in.

    A new parameter joins the group of the one whose name it takes, else of the nearest that the
    optimizer holds: the one whose name has the longest beginning in common. It gets that group's
    learning rate and weight decay, and starts without momentum.

    Args:
        optimizer: changed in place; the state of the other parameters stays.
        before: the network's parameters by name, before the edit.
        after: the same, after it.
    """
    held, kept = _held(optimizer), set(map(id, after.values()))
    groups = {name: held[id(p)] for name, p in before.items() if id(p) in held}
    new = {id(p): name for name, p in after.items() if id(p) not in held}
    new = {key: name for key, name in new.items() if key not in set(map(id, before.values()))}
    for parameter in before.values():
        if id(parameter) not in kept and id(parameter) in held:
            _remove(optimizer, held[id(parameter)], parameter)
    for name in new.values():
        group = optimizer.param_groups[groups[_nearest(name, groups)]]
        group["params"].append(after[name])


def _held(optimizer: Optimizer) -> dict[int, int]:
    """Return the number of the group of every parameter, by its id."""
    return {
        id(parameter): number
        for number, group in enumerate(optimizer.param_groups)
        for parameter in group["params"]
    }


def _remove(optimizer: Optimizer, number: int, parameter: nn.Parameter) -> None:
    params = optimizer.param_groups[number]["params"]
    params[:] = [other for other in params if other is not parameter]
    optimizer.state.pop(parameter, None)


def _nearest(name: str, names: Mapping[str, int]) -> str:
    def shared(other: str) -> int:
        pairs = list(zip(name.split("."), other.split("."), strict=False))
        return next((i for i, (a, b) in enumerate(pairs) if a != b), len(pairs))

    return max(names, key=shared)
