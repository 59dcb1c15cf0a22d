"""Choose modules by name pattern or predicate."""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from torch import nn

from normwise.errors import Problems, UsageError, suggest

Where = str | Iterable[str] | Callable[[str, nn.Module], bool]


def matching(
    where: Where | None,
    network: nn.Module,
    candidates: Mapping[str, nn.Module],
    what: str,
    called: str = "where",
) -> list[str]:
    """Return the paths of the candidates that are meant; all of them where `where` is None.

    Args:
        where: a pattern such as `encoder.*.fc1` (`*` stands for any characters, dots included),
            several of them, or a predicate called with a module's path and the module.
        network: in which a shared module may have other names, which count too.
        candidates: by path.
        what: what an error calls them, in the singular.
        called: what an error calls `where`.

    Raises:
        UsageError: a pattern, or the predicate, fits none.
    """
    if where is None:
        return list(candidates)
    names: dict[nn.Module, list[str]] = {}
    for path, module in network.named_modules(remove_duplicate=False):
        names.setdefault(module, []).append(path)
    if callable(where):
        chosen = [p for p, m in candidates.items() if any(where(name, m) for name in names[m])]
        if not chosen:
            name = getattr(where, "__name__", type(where).__name__)
            raise UsageError(f"{called}={name} chooses no {what}: {_listed(candidates)}")
        return chosen
    patterns = (
        list(where) if isinstance(where, Iterable) and not isinstance(where, str) else [where]
    )
    if not patterns or not all(isinstance(pattern, str) for pattern in patterns):
        raise UsageError(
            f"{called}={where!r}: give a pattern such as 'encoder.*', several, or a function of a "
            "module's path and the module"
        )
    problems = Problems()
    found: set[str] = set()
    for pattern in patterns:
        fitting = {
            path
            for path, module in candidates.items()
            if any(fnmatchcase(name, pattern) for name in names[module])
        }
        if not fitting:
            near = suggest(pattern, candidates)
            problems.add(f"{called}={pattern!r} matches no {what}{near}: {_listed(candidates)}")
        found |= fitting
    problems.raise_if_any()
    return [path for path in candidates if path in found]


def _listed(candidates: Mapping[str, nn.Module]) -> str:
    paths = [path or "(the network)" for path in candidates]
    shown = ", ".join(paths[:12]) + (f" and {len(paths) - 12} more" if len(paths) > 12 else "")
    return f"there are {shown}" if paths else "there is none"
