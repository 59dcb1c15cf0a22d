"""What can be wrong with a batch norm: its options, or its input."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from normwise.errors import Problems, UsageError
from normwise.layers.floating import check_floating
from normwise.layers.groups import group_sizes

EXTRAS: dict[str, object] = {
    "virtual_batch_size": None,
    "accumulate": 1,
    "r_max": None,
    "d_max": None,
    "sync": False,
    "fallback": False,
}
"""The arguments that torch's layers do not have, and their defaults."""


def check_options(norm: Any) -> None:
    """Raise a `UsageError` that names all options that are wrong or contradict each other."""
    problems = Problems()
    problems.add(*_wrong_numbers(norm), *_contradictions(norm))
    problems.raise_if_any()


def _wrong_numbers(norm: Any) -> list[str]:
    found = []
    for name, least in (("virtual_batch_size", "sample"), ("accumulate", "batch")):
        value = getattr(norm, name)
        if value is not None and (not isinstance(value, int) or value < 1):
            found.append(f"{name}={value}: take a whole number, from one {least} on")
    for name, least in (("r_max", 1), ("d_max", 0)):
        value = getattr(norm, name)
        if isinstance(value, int | float) and value < least:
            found.append(f"{name}={value}: take a number from {least} on, which changes nothing")
    return found


def _contradictions(norm: Any) -> list[str]:
    found = []
    r_max, d_max, size, sync = norm.r_max, norm.d_max, norm.virtual_batch_size, norm.sync
    if (r_max is None) != (d_max is None):
        found.append(
            f"r_max={r_max}, d_max={d_max}: batch renormalization takes both, such as r_max=3, "
            "d_max=5"
        )
    if size is not None and sync is not False:
        found.append(
            f"virtual_batch_size={size}, sync={sync}: one asks for the statistics of less than a "
            "batch, the other for those of more; choose one"
        )
    if not norm.track_running_stats:
        found += [
            f"{name}={getattr(norm, name)}, track_running_stats=False: it is about running "
            "statistics, and there are none; leave out one of the two"
            for name in ("accumulate", "r_max", "fallback")
            if getattr(norm, name) != EXTRAS[name]
        ]
    return found


def check_shape(norm: Any, dims: Sequence[int], x: Tensor) -> None:
    """Refuse an input that has not as many dimensions or channels, or no fractions."""
    check_floating(type(norm).__name__, x)
    if x.ndim in dims and x.shape[1] == norm.num_features:
        return
    fitting = [", ".join(["N", str(norm.num_features), *"DHW"[5 - d :]]) for d in dims]
    if 3 in dims:
        fitting = [shape.replace("W", "L") for shape in fitting]
    raise UsageError(
        f"{type(norm).__name__} takes an input of shape ({') or ('.join(fitting)}), not "
        f"{tuple(x.shape)}"
    )


def check_values(norm: Any, x: Tensor) -> None:
    """Refuse a batch whose groups have a single value per channel."""
    size = norm.virtual_batch_size
    if not _has_single_values(x, size):
        return
    where = "" if size is None else f" in a group of it (virtual_batch_size={size})"
    raise UsageError(
        f"{type(norm).__name__} in training mode got an input of shape {tuple(x.shape)}: that "
        f"leaves a single value per channel{where}, which has no variance. Take larger batches, "
        "leave out a last one that is short (drop_last=True), or let fallback=True normalise it "
        "by the running statistics"
    )


def check_arguments(
    x: Tensor, units: dict[str, Tensor | None], virtual_batch_size: int | None, *, training: bool
) -> None:
    """Raise a `UsageError` that names all that is wrong with the arguments of `batch_norm`.

    Args:
        x: the batch.
        units: by name, what there is per channel: the running statistics, and what is learned.
        virtual_batch_size: samples of a ghost batch, at most.
        training: whether the batch's own statistics are wanted.
    """
    check_floating("batch_norm", x)
    problems, size = Problems(), virtual_batch_size
    if x.ndim < 2:
        problems.add(f"batch_norm takes an input of shape (N, C, *), not {tuple(x.shape)}")
    for name, values in units.items():
        if values is not None and x.ndim > 1 and values.shape != x.shape[1:2]:
            shape = tuple(values.shape)
            problems.add(f"{name} has the shape {shape}: the input has {x.shape[1]} channels")
    has = [units[name] is not None for name in ("running_mean", "running_var")]
    if any(has) != all(has):
        problems.add("running_mean and running_var are given both or not at all")
    elif not training and not any(has):
        problems.add("training=False takes running_mean and running_var, to normalise by them")
    if size is not None and (not isinstance(size, int) or size < 1):
        problems.add(f"virtual_batch_size={size}: take a whole number, from one sample on")
    elif training and x.ndim > 1 and _has_single_values(x, size):
        problems.add(f"an input of shape {tuple(x.shape)} has a group with one value per channel")
    problems.raise_if_any()


def _has_single_values(x: Tensor, virtual_batch_size: int | None) -> bool:
    """Whether a group of samples has one value per channel."""
    size = virtual_batch_size
    fewest = x.shape[0] if size is None else group_sizes(x.shape[0], size)[-1][1]
    return fewest * x.shape[2:].numel() == 1
