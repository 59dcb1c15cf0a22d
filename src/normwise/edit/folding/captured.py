"""A network's computation as a graph of torch operators."""

import copy
import inspect
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.graph import CodeGen, _PyTreeCodeGen, _PyTreeInfo
from torch.utils._pytree import TreeSpec, tree_structure

from normwise.edit.folding.draft import Draft
from normwise.edit.folding.folded import Guards
from normwise.edit.folding.operations import GUARDS, aten
from normwise.trace import Call


@dataclass(frozen=True)
class Captured:
    """What a capture found.

    Attributes:
        draft: the graph: placeholders for all leaves of the arguments, then the operators.
        method: `torch.export` or `torch.fx`.
        inputs: the shapes of the tensors that it takes, as text.
        note: why a better capture was not possible.
    """

    draft: Draft
    method: str
    inputs: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True)
class Form:
    """How a network is called, and what it gives.

    Attributes:
        call: an example.
        names: of the arguments, by position and then by name.
        outputs: how the output is made of its leaves.
    """

    call: Call
    names: tuple[str, ...]
    outputs: TreeSpec

    @property
    def plain(self) -> bool:
        """Whether it is a function from tensors to one tensor, which needs no taking apart."""
        return self.call.plain and self.outputs.is_leaf()

    @property
    def leaf_names(self) -> tuple[str, ...]:
        """A name for each leaf of the arguments."""
        if self.plain:
            return self.names
        return tuple(f"input_{number}" for number in range(len(self.call.leaves)))

    @property
    def codegen(self) -> CodeGen:
        """What writes the forward."""
        if self.plain:
            return CodeGen()
        return _PyTreeCodeGen(_PyTreeInfo(list(self.names), self.call.spec, self.outputs))

    @classmethod
    def of(cls, network: nn.Module, call: Call, output: Any) -> "Form":
        """Name the arguments as the network's forward does."""
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(network.forward).parameters.values()
        known = [p.name for p in parameters if p.kind in kinds][: len(call.args)]
        rest = (f"argument_{number}" for number in range(len(known), len(call.args)))
        return cls(call, (*known, *rest, *call.kwargs), tree_structure(output))


def assemble(
    graph: fx.Graph,
    attributes: Mapping[str, Any],
    form: Form,
    conditions: Sequence[str],
) -> Draft:
    """Make a draft of a graph that was found.

    Args:
        graph: its placeholders are the leaves of the arguments, its output those of the outputs.
        attributes: the weights and modules that the graph names; they are copied.
        form: how the network is called.
        conditions: of `Guards`.
    """
    copies: dict[int, Any] = {}
    held = {name: _own(value, copies) for name, value in attributes.items()}
    if conditions:
        placeholders = graph.find_nodes(op="placeholder")
        with graph.inserting_after(placeholders[-1]):
            graph.call_module(GUARDS, tuple(placeholders))
        held[GUARDS] = Guards(conditions)
    for node in graph.nodes:
        if node.target is aten.view.default:  # which would ask for the strides that a norm left
            node.target = aten.reshape.default
    graph.set_codegen(form.codegen)
    draft = Draft(fx.GraphModule(held, graph), form.call)
    draft.clean()
    draft.measure()
    return draft


def _own(value: Any, copies: dict[int, Any]) -> Any:
    """Copy a weight, once however many names it has."""
    if not isinstance(value, Tensor):
        return copy.deepcopy(value)
    if id(value) not in copies:
        fresh = value.detach().clone(memory_format=torch.preserve_format)
        frozen = isinstance(value, nn.Parameter)
        copies[id(value)] = nn.Parameter(fresh, requires_grad=False) if frozen else fresh
    return copies[id(value)]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what the compiler logs, warns of and prints: what matters is told by us."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
