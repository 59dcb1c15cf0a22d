"""The user's own networks, inside what torch wraps around them, and the names of their parts."""

from collections.abc import Mapping

from torch import nn

from normwise.trace import unwrapped


class Networks:
    """Some networks by name, seen through wrappers.

    Args:
        networks: by name; a single one may be named by the empty string.

    Attributes:
        compiled: whether any is compiled, so that its modules cannot be hooked.

    Example:
        >>> networks = Networks({"g": nn.DataParallel(nn.Linear(4, 3))})
        >>> list(networks.modules()), [names for _, names in networks.parameters()]
        (['g'], [['g.weight'], ['g.bias']])
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self._networks = dict(networks)
        self._inner = {name: unwrapped(network) for name, network in networks.items()}
        self._compiled = [name for name, network in networks.items() if _is_compiled(network)]
        self.compiled = bool(self._compiled)

    def modules(self) -> dict[str, nn.Module]:
        """Return the modules that can be hooked, by path."""
        found: dict[str, nn.Module] = {}
        for name, network in self._inner.items():
            if name in self._compiled:
                # The wrapper's hooks run outside the compiled code; those of all else within it,
                # where they would force another compilation.
                wrapper = self._networks[name]
                found |= {} if _compiled_in_place(wrapper) else {name: wrapper}
                continue
            prefix = f"{name}." if name else ""
            found |= {(prefix + p).rstrip("."): module for p, module in network.named_modules()}
        return found

    def parameters(self) -> list[tuple[nn.Parameter, list[str]]]:
        """Return each parameter once, with all its names."""
        named: dict[int, tuple[nn.Parameter, list[str]]] = {}
        for name, network in self._inner.items():
            prefix = f"{name}." if name else ""
            for path, parameter in network.named_parameters(remove_duplicate=False):
                named.setdefault(id(parameter), (parameter, []))[1].append(prefix + path)
        return list(named.values())

    def notes(self) -> list[str]:
        """Say which networks cannot be seen from inside."""
        return [
            f"{name or 'the network'} is compiled: its modules cannot be seen from outside, "
            "only its parameters and optimizers; run it without torch.compile to see more"
            for name in self._compiled
        ]


def _is_compiled(network: nn.Module) -> bool:
    return hasattr(network, "_orig_mod") or _compiled_in_place(network)


def _compiled_in_place(network: nn.Module) -> bool:
    return any(module._compiled_call_impl is not None for module in network.modules())
