"""Tell what became of the units of a network, for `edits`."""

from collections.abc import Iterable, Mapping, Sequence

from normwise.edit.log import Edit
from normwise.edit.units.group import Group


def told(
    edit: str,
    groups: Sequence[Group],
    counts: Sequence[int],
    how: str,
    left: Mapping[str, str],
    cleared: Iterable[str],
) -> list[Edit]:
    """Return one entry for each module whose units were changed or left alone.

    Args:
        edit: the call.
        groups: as they were at first.
        counts: how many units each has now.
        how: what the units were chosen by, or made of.
        left: why others were left alone, by path.
        cleared: the parameters of which an optimizer's state could not follow.
    """
    made = [
        Edit(edit, path, f"{_change(group, count, path)}, {how}", _with(group, path))
        for group, count in zip(groups, counts, strict=True)
        for path in group.makers
    ]
    made += [Edit(edit, path, f"left alone: {reason}") for path, reason in left.items()]
    return made + [Edit(edit, name, "the optimizer's state is cleared") for name in cleared]


def _change(group: Group, count: int, path: str) -> str:
    width = group.width(path)
    return f"{len(group) * width} units -> {count * width}"


def _with(group: Group, path: str) -> str:
    others = [other or "(the network)" for other in group.makers if other != path]
    return f"one with {', '.join(others)}" if others else ""
