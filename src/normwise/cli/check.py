"""`normwise check`: what is wrong with this network?"""

import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from normwise.cli.findings import (
    Baseline,
    FindingsFormat,
    Ignore,
    Output,
    Select,
    WriteBaseline,
    exit_code,
    show,
)


def check(
    model: Annotated[
        str,
        typer.Argument(
            help="file.py:factory or module:factory, a function without arguments that returns a "
            "network.",
            show_default=False,
        ),
    ],
    data: Annotated[
        str,
        typer.Option(help="digits, mnist, a .npz or .safetensors file, or file.py:function."),
    ] = "digits",
    batch_size: Annotated[int, typer.Option(help="Samples in a batch.")] = 64,
    steps: Annotated[int, typer.Option(help="Batches to train on, on the side.")] = 8,
    lr: Annotated[float, typer.Option(help="Learning rate of these steps.")] = 0.01,
    optimizer: Annotated[str, typer.Option(help="Of these steps: sgd, adam or adamw.")] = "sgd",
    select: Select = None,
    ignore: Ignore = None,
    baseline: Baseline = None,
    write_baseline: WriteBaseline = None,
    output: Output = FindingsFormat.text,
) -> None:
    """Look for faults in a network: its structure, a few steps forward and backward."""
    from normwise import rules

    with redirect_stdout(sys.stderr):  # standard output carries the answer only
        subject = rules.load_subject(
            model, data, batch_size=batch_size, steps=steps, lr=lr, optimizer=optimizer
        )
        findings = rules.check(
            subject.network,
            subject.batches,
            subject.loss,
            subject.optimizer,
            steps=steps,
            select=select,
            ignore=ignore or (),
            baseline=baseline,
        )
    if write_baseline is not None:
        rules.write_baseline(findings, write_baseline)
    show(findings, output)
    raise typer.Exit(exit_code(findings))
