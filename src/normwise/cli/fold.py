"""`normwise fold`: a trained network as a smaller and faster one for inference, proved."""

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normwise.cli.options import Format
from normwise.errors import Problems, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from normwise.samples import Samples

_SAMPLES = 8


def fold(
    model: Annotated[
        str,
        typer.Argument(
            help="file.py:factory or module:factory, a function without arguments that returns the "
            "network."
        ),
    ],
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Its weights: .safetensors, or what torch.save wrote (.pt, .pth, .ckpt, .bin); "
            "nothing in a file is ever executed.",
            show_default="those it was made with",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where to write it: .onnx, .pt2, or .safetensors for the weights alone.",
            show_default="nowhere",
        ),
    ] = None,
    shape: Annotated[
        str | None,
        typer.Option(help="Shape of one sample, such as 3,224,224; normal random inputs."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Or real samples: digits, mnist, a .npz or .safetensors file, file.py:function."
        ),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="What is printed.")] = Format.text,
) -> None:
    """Fold norms and dropout away, prove that nothing changed, and write the network."""
    from torch import nn

    from normwise import edit
    from normwise.references import call_reference, load_reference

    problems = Problems()
    if (shape is None) == (data is None):
        problems.add("give an example input: --shape 3,224,224, or --data digits, one of the two")
    if out is not None:
        with problems.collect():
            edit.check_ending(out)
    problems.raise_if_any()
    # Standard output carries the answer only; what the user's functions print goes aside.
    with redirect_stdout(sys.stderr):
        network = call_reference(load_reference(model, "a network factory"), model)
        if not isinstance(network, nn.Module):
            raise UsageError(f"{model} returned a {type(network).__name__}, not an nn.Module")
        if weights is not None:
            edit.load_weights(network, weights)
        example = _samples(data) if shape is None else _random(shape)
        folded = edit.fold(network, example)
        if out is not None:
            edit.export(folded, example, out, original=network)
    if output is Format.json:
        print(json.dumps(asdict(folded.report) | {"out": None if out is None else str(out)}))
        return
    print(folded.report)
    if out is not None:
        print(f"written and proved: {out}")


def _samples(data: str | None) -> "Samples":
    from normwise.data import load

    return load(data).train[:_SAMPLES].x


def _random(shape: str) -> "Tensor":
    import torch

    try:
        sizes = [int(size) for size in shape.split(",")]
    except ValueError:
        sizes = []
    if not sizes or min(sizes) < 1:
        raise UsageError(f"--shape {shape}: write positive numbers with commas, such as 3,224,224")
    return torch.randn(_SAMPLES, *sizes, generator=torch.Generator().manual_seed(0))
