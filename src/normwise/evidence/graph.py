"""Which function's result went into which function, in one pass of the user's program."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from normwise.evidence.tensors import has_shape

MOST_NODES = 20_000

_THROUGH = (
    "view reshape flatten unflatten squeeze unsqueeze transpose permute movedim contiguous to "
    "float double half bfloat16 clone detach identity __getitem__ chunk split unbind select "
    "narrow expand type swapaxes"
)
THROUGH = frozenset(_THROUGH.split())
"""Functions that pass their values on, arranged otherwise."""


@dataclass(frozen=True)
class Node:
    """One call of a torch function.

    Attributes:
        index: its place in the graph, in order of time.
        name: torch's name of the function, without the underscore of in-place variants.
        module: path of the innermost module whose forward called it; None outside all of them.
        inputs: indices of the nodes whose results it took; tensors from elsewhere have none.
        shapes: of the tensors that it took.
        shape: of its result, the first where there are several.
        parameters: names of the parameters that it took directly.
        options: its other arguments that are plain values, by position or name.

    Example:
        >>> Node(0, "relu", "1", (), ((2, 3),), (2, 3), (), {}).name
        'relu'
    """

    index: int
    name: str
    module: str | None
    inputs: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]
    shape: tuple[int, ...]
    parameters: tuple[str, ...]
    options: dict[int | str, Any]


@dataclass(frozen=True)
class Graph:
    """The calls of one optimizer step, loss included, with who fed whom.

    Attributes:
        nodes: in order of time.

    Example:
        >>> first = Node(0, "linear", "0", (), ((2, 3),), (2, 4), (), {})
        >>> graph = Graph((first, Node(1, "view", None, (0,), ((2, 4),), (8,), (), {})))
        >>> [node.name for node in graph.sources(graph.nodes[1])]
        ['linear']
    """

    nodes: tuple[Node, ...]

    @cached_property
    def _consumers(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for node in self.nodes:
            for index in dict.fromkeys(node.inputs):
                found.setdefault(index, []).append(node.index)
        return found

    def named(self, *names: str) -> Iterator[Node]:
        """Yield the calls of functions with these names."""
        return (node for node in self.nodes if node.name in names)

    def of(self, path: str) -> list[Node]:
        """Return the calls made by the forward of the module at a path itself."""
        return [node for node in self.nodes if node.module == path]

    def consumers(self, node: Node, through: frozenset[str] = THROUGH) -> list[Node]:
        """Return the calls that take a node's result, seen through some functions.

        Args:
            node: whose result.
            through: names of functions that are passed over.
        """
        found: dict[int, Node] = {}
        for index in self._consumers.get(node.index, []):
            taker = self.nodes[index]
            reached = self.consumers(taker, through) if taker.name in through else [taker]
            found.update({each.index: each for each in reached})
        return list(found.values())

    def sources(self, node: Node, through: frozenset[str] = THROUGH) -> list[Node]:
        """Return the calls whose results a node takes, seen through some functions."""
        found: dict[int, Node] = {}
        for index in node.inputs:
            giver = self.nodes[index]
            reached = self.sources(giver, through) if giver.name in through else [giver]
            found.update({each.index: each for each in reached})
        return list(found.values())


class GraphMeter:
    """Writes calls down; keeps no tensor alive.

    Args:
        parameters: their names, by identity.
    """

    def __init__(self, parameters: dict[int, str]) -> None:
        self._parameters = parameters
        self._nodes: list[Node] = []
        self._makers: Any = WeakIdKeyDictionary()

    @property
    def full(self) -> bool:
        """Whether no more calls are taken."""
        return len(self._nodes) >= MOST_NODES

    @property
    def last(self) -> int | None:
        """Index of the last call that was noted, or None before the first."""
        return len(self._nodes) - 1 if self._nodes else None

    def note(self, name: str, module: str | None, args: Any, kwargs: Any, result: Any) -> None:
        """Note a call, if it takes and gives tensors."""
        given = [leaf for leaf in tree_leaves(result) if has_shape(leaf)]
        if not given or self.full:
            return
        taken = [leaf for leaf in tree_leaves((args, kwargs)) if has_shape(leaf)]
        index = len(self._nodes)
        makers = [self._makers.get(tensor) for tensor in taken]
        node = Node(
            index,
            name,
            module,
            tuple(maker for maker in makers if maker is not None),
            tuple(tuple(tensor.shape) for tensor in taken),
            tuple(given[0].shape),
            tuple(self._parameters[id(t)] for t in taken if id(t) in self._parameters),
            _options(args, kwargs),
        )
        self._nodes.append(node)
        for tensor in given:
            self._makers[tensor] = index

    def result(self) -> Graph:
        """Return what was noted."""
        return Graph(tuple(self._nodes))


def plain_name(function: Callable[..., Any]) -> str:
    """Return torch's name of a function, without the underscore of its in-place variant."""
    name = getattr(function, "__name__", "")
    return name if name.startswith("__") else name.rstrip("_")


def _options(args: Any, kwargs: Any) -> dict[int | str, Any]:
    pairs = [*enumerate(args), *kwargs.items()]
    return {key: value for key, value in pairs if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return len(value) < 10 and all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
