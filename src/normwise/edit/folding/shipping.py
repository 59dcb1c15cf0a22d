"""Write a folded network to a file, and prove that the file computes the same."""

import copy
import io
import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.utils._pytree import tree_map

from normwise.edit.folding.captured import Form, quiet
from normwise.edit.folding.folded import Folded
from normwise.edit.folding.judge import Judge, rounding, run
from normwise.errors import UsageError, suggest
from normwise.files import write_bytes
from normwise.references import explain
from normwise.trace import Call, undisturbed

Runner = Callable[[Call], list[Any]]

# Other programs order their sums in other ways, and fuse other operations.
_SLACK = 4


def export(
    folded: Folded,
    example: Any,
    path: str | os.PathLike[str],
    *,
    original: nn.Module | None = None,
) -> Path:
    """Write a folded network to a file, load it back, and compare it with the original.

    ================ ================================================ ===========================
    ending           what is written                                  what it is loaded with
    ================ ================================================ ===========================
    `.onnx`          an ONNX model; needs the extra `normwise[onnx]`  onnxruntime
    `.pt2`           a program of torch.export                        `torch.export.load`
    `.safetensors`   the weights alone, for `folded.load_state_dict`  `safetensors`
    ================ ================================================ ===========================

    Sizes that the folded network lets vary, such as the batch, vary in the file as well.

    Args:
        folded: what `fold` returned.
        example: one batch of inputs, as for `fold`.
        path: where to write; its ending is the format.
        original: what the file must agree with; by default `folded` itself.

    Returns:
        The path. The file is there only if it has been proved right.

    Raises:
        UsageError: the ending is unknown, a package is missing, the network cannot be written in
            this format, or what was written computes something else.

    Example:
        >>> from normwise.edit import fold
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        >>> x = torch.randn(2, 4)
        >>> file = export(fold(net, x), x, "net.pt2", original=net)
        >>> torch.export.load(file).module()(x).shape
        torch.Size([2, 3])
    """
    path = Path(path)
    check_ending(path)
    call = Call.of(example)
    reference = folded if original is None else original
    with undisturbed(reference):
        reference.eval()
        judge = Judge(reference, call)
        form = Form.of(folded, call, judge.output)
        try:
            with quiet(), torch.no_grad():
                content, runner = FORMATS[path.suffix](folded, form)
        except Exception as error:
            reason = explain(error).splitlines()[0]
            raise UsageError(
                f"{path}: this network cannot be written as {path.suffix}: {reason}"
            ) from error
        verdict = judge.compare(runner, _SLACK * rounding(folded))
    if not verdict.good:
        raise UsageError(
            f"{path}: what was written does not compute what the network does ({verdict}), and was "
            "not kept. Another format may do: " + ", ".join(FORMATS)
        )
    return write_bytes(path, content)


def check_ending(path: Path) -> None:
    """Refuse a file that `export` could not write, before the work of folding is done.

    Args:
        path: where to write.

    Raises:
        UsageError: its ending is no format, or the format needs packages that are missing.

    Example:
        >>> check_ending(Path("net.pt3"))
        Traceback (most recent call last):
        normwise.errors.UsageError: net.pt3: unknown ending '.pt3' (did you mean '.pt2'?): use one \
of .onnx, .pt2, .safetensors
    """
    if path.suffix not in FORMATS:
        raise UsageError(
            f"{path}: unknown ending {path.suffix!r}{suggest(path.suffix, FORMATS)}: use one of "
            f"{', '.join(FORMATS)}"
        )
    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if path.suffix == ".onnx" and absent:
        raise UsageError(
            f"{path}: writing ONNX needs {', '.join(absent)}: pip install 'normwise[onnx]'"
        )


def _safetensors(folded: Folded, form: Form) -> tuple[bytes, Runner]:  # noqa: ARG001
    content = safetensors.torch.save(
        {name: value.contiguous().clone() for name, value in folded.state_dict().items()}
    )
    loaded = copy.deepcopy(folded)
    loaded.load_state_dict(safetensors.torch.load(content))
    return content, partial(run, loaded)


def _pt2(folded: Folded, form: Form) -> tuple[bytes, Runner]:
    program = torch.export.export(
        folded, form.call.args, form.call.kwargs, dynamic_shapes=_any_size(form), strict=False
    )
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return file.getvalue(), _refusing(partial(run, torch.export.load(file).module()))


def _onnx(folded: Folded, form: Form) -> tuple[bytes, Runner]:
    import onnxruntime

    program = torch.onnx.export(
        folded,
        form.call.args,
        kwargs=form.call.kwargs,
        dynamic_shapes=_any_size(form),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    content = program.model_proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [put.name for put in session.get_inputs()]

    def runner(call: Call) -> list[Any]:
        arrays = (tensor.numpy(force=True) for tensor in call.tensors)
        found = session.run(None, dict(zip(names, arrays, strict=True)))
        return [torch.from_numpy(value) for value in found]

    return content, _refusing(runner)


def _refusing(runner: Runner) -> Runner:
    """Turn the many ways to refuse a batch of another size into one."""

    def refusing(call: Call) -> list[Any]:
        try:
            return runner(call)
        except Exception as error:
            raise UsageError(explain(error).splitlines()[0]) from error

    return refusing


def _any_size(form: Form) -> dict[str, Any]:
    """Let every size vary that the network does not fix."""

    def dims(leaf: Any) -> dict[int, Any] | None:
        return dict.fromkeys(range(leaf.ndim), Dim.AUTO) if isinstance(leaf, Tensor) else None

    arguments = (*form.call.args, *form.call.kwargs.values())
    return dict(zip(form.names, tree_map(dims, arguments), strict=True))


FORMATS = {".onnx": _onnx, ".pt2": _pt2, ".safetensors": _safetensors}
