"""Choose the units that an edit is about, and tell what becomes of the others."""

from torch import nn

from normwise.edit.units.finding import Found
from normwise.edit.units.group import Group
from normwise.errors import UsageError
from normwise.trace.matching import Where, matching


def chosen(
    network: nn.Module, found: Found, where: Where | None
) -> tuple[list[Group], dict[str, str]]:
    """Return the groups with a maker that is meant, and the modules meant that have to be left.

    Raises:
        UsageError: `where` fits nothing, or nothing that can be changed; with the reasons.
    """
    made = {path: group for group in found.groups for path in group.makers}
    candidates = {path: network.get_submodule(path) for path in (*made, *found.left)}
    paths = matching(where, network, candidates, "layer with units")
    groups = [group for group in found.groups if not set(paths).isdisjoint(group.makers)]
    left = {path: found.left[path] for path in paths if path in found.left}
    if not groups:
        raise none_left(left)
    return groups, left


def none_left(left: dict[str, str]) -> UsageError:
    """Return the error for a network in which no units can be changed."""
    told = "; ".join(f"{path or '(the network)'}: {reason}" for path, reason in left.items())
    return UsageError(
        "there are no units whose number can change. " + (told or "The network has no weights")
    )
