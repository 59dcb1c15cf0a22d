"""Where modules are made, and which modules hold them: seen while a program builds networks."""

from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary, ref

from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from normwise.evidence.guard import Guard
from normwise.evidence.place import caller


class Origins:
    """Notes, while it is open, on which line of the user's each module is made.

    A module counts as made where it gets its first parameter, one without parameters where another
    module takes it in. Copies are made nowhere.

    Example:
        >>> from pathlib import Path
        >>> code = "from torch import nn; net = nn.Sequential(nn.Linear(4, 3))"
        >>> names = {}
        >>> with Origins() as origins:
        ...     exec(compile(code, str(Path("net.py").absolute()), "exec"), names)
        >>> origins.place(names["net"], "0.weight").endswith("net.py:1")
        True
        >>> origins.root(names["net"][0]) is names["net"]
        True
    """

    def __init__(self) -> None:
        self._made: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()
        self._holders: WeakKeyDictionary[nn.Module, list[ref[nn.Module]]] = WeakKeyDictionary()
        self._guard = Guard()
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        """Begin to note."""
        self._handles = [
            register_module_parameter_registration_hook(self._guard(self._gets_parameter)),
            register_module_module_registration_hook(self._guard(self._takes_in)),
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Note no more; what is known stays known."""
        for handle in self._handles:
            handle.remove()

    def root(self, module: nn.Module) -> nn.Module:
        """Return the outermost module that holds this one; where several do, of the first."""
        seen: set[nn.Module] = set()
        while module not in seen:
            seen.add(module)
            alive = (holder() for holder in self._holders.get(module, ()))
            module = next((holder for holder in alive if holder is not None), module)
        return module

    def place(self, network: nn.Module, where: str) -> str:
        """Return `file.py:12` of a module or parameter by its path, or nothing if not known."""
        known = dict(network.named_modules())
        where = where.partition(":")[0]  # a function's name stands behind its module's
        module = known.get(where) or known.get(where.rpartition(".")[0])
        return "" if module is None else self._made.get(module, "")

    def _gets_parameter(self, module: nn.Module, _name: str, _parameter: Any) -> None:
        if module not in self._made and (place := caller()):
            self._made[module] = place

    def _takes_in(self, holder: nn.Module, _name: str, module: Any) -> None:
        if not isinstance(module, nn.Module):
            return
        self._holders.setdefault(module, []).append(ref(holder))
        if module not in self._made and (place := caller()):
            self._made[module] = place
