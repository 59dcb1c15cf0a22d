"""normwise: which normalization and regularization train your PyTorch network best."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normwise import data, edit, lab, layers, stats
    from normwise.edit import (
        edits,
        fold,
        freeze_norm,
        grow,
        insert_dropout,
        insert_norm,
        mc_predict,
        prune,
        recalibrate,
        remove_dropout,
        replace_norm,
        unfreeze_norm,
    )
    from normwise.errors import UsageError
    from normwise.rules import Finding, check, watch
    from normwise.study import Study, Trained, compare, fit

__all__ = [
    "Finding",
    "Study",
    "Trained",
    "UsageError",
    "check",
    "compare",
    "data",
    "edit",
    "edits",
    "fit",
    "fold",
    "freeze_norm",
    "grow",
    "insert_dropout",
    "insert_norm",
    "lab",
    "layers",
    "mc_predict",
    "prune",
    "recalibrate",
    "remove_dropout",
    "replace_norm",
    "stats",
    "unfreeze_norm",
    "watch",
]

# Where a name comes from, if not from `edit`: a room, or itself where it is one.
_ROOMS = {
    **{name: name for name in ("data", "edit", "lab", "layers", "stats")},
    "UsageError": "errors",
    **dict.fromkeys(("Finding", "check", "watch"), "rules"),
    **dict.fromkeys(("Study", "Trained", "compare", "fit"), "study"),
}


if not TYPE_CHECKING:  # or a type checker would believe in every name

    def __getattr__(name: str) -> Any:
        """Open a room when something in it is first asked for: torch takes seconds to import."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room = _ROOMS.get(name, "edit")
        module = import_module(f"{__name__}.{room}")
        globals()[name] = found = module if name == room else getattr(module, name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
