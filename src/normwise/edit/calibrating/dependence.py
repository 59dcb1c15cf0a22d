"""Which norms see what other norms have made: found by following the tensors of one pass."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

_NOTHING: frozenset[str] = frozenset()
_ESCAPES = {
    getattr(Tensor, name)
    for name in ("item", "tolist", "numpy", "__array__", "__bool__", "__int__", "__float__")
}
"""What makes a number of a tensor, whose way cannot be followed any further."""


class Dependence(TorchFunctionMode):
    """Follows one forward pass, with `hooks` in place, and tells which norms build on which.

    Where a tensor's origin is not known, since a function outside torch has made it, it counts as
    made from all norms that have run: that may cost a pass too many, but is never wrong.

    Args:
        network: the network that is about to be run.
        norms: the norms in question, by path.

    Attributes:
        calls: how often the pass has used each norm.
    """

    def __init__(self, network: nn.Module, norms: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self._norms = norms
        self._storages: list[Any] = []  # a freed one's address would be given to another
        self._sources: dict[int, frozenset[str]] = {}
        self._seen = self._escaped = _NOTHING
        self._before: dict[str, frozenset[str]] = dict.fromkeys(norms, _NOTHING)
        self.calls: Counter[str] = Counter()
        for tensor in (*network.parameters(), *network.buffers()):
            self._add(tensor, _NOTHING)

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Hook the norms, and unhook them again."""
        handles = []
        try:
            for path, norm in self._norms.items():
                handles.append(norm.register_forward_hook(self._note(path)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def levels(self) -> list[set[str]]:
        """Return the norms in groups: each builds on earlier groups, and on its own only mutually.

        A norm that is used repeatedly, and sees what it has made itself, shares its group with all
        norms on the way.
        """
        before = self._closure()
        levels: list[set[str]] = []
        left = set(self.calls)
        while left:
            ready = {n for n in left if all(n in before[b] for b in before[n] & left)}
            levels.append(ready)
            left -= ready
        return levels

    def circular(self) -> set[str]:
        """Return the norms that see what they have made themselves."""
        return {norm for norm, before in self._closure().items() if norm in before}

    def _closure(self) -> dict[str, frozenset[str]]:
        before = dict(self._before)
        for via in before:
            for norm, known in before.items():
                if via in known:
                    before[norm] = known | before[via]
        return before

    def _note(self, path: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def note(norm: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG001
            self.calls[path] += 1
            sources = self._of(inputs)
            self._before[path] |= sources
            self._seen |= {path}
            for tensor in _tensors(output):
                self._add(tensor, sources | {path})

        return note

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        sources = self._of((args, kwargs))
        if func in _ESCAPES:
            self._escaped |= sources
        output = func(*args, **kwargs)
        changed = args[:1] if func is Tensor.__setitem__ else output
        for tensor in _tensors(changed):
            self._add(tensor, sources)
        return output

    def _of(self, values: Any) -> frozenset[str]:
        keys = [self._key(tensor) for tensor in _tensors(values)]
        return self._escaped.union(*(self._sources.get(key, self._seen) for key in keys))

    def _add(self, tensor: Tensor, sources: frozenset[str]) -> None:
        """Note where a tensor comes from; a view and what it shows have all sources in common."""
        key = self._key(tensor)
        if key not in self._sources:
            self._storages.append(tensor.untyped_storage())
        self._sources[key] = self._sources.get(key, _NOTHING) | sources

    @staticmethod
    def _key(tensor: Tensor) -> int:
        return tensor.untyped_storage()._cdata


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]
