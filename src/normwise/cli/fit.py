"""`normwise fit`: train one network, and keep it."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from normwise.cli import options
from normwise.cli.options import Format
from normwise.errors import UsageError

_DIVERGED = 1  # as for whatever else did not come out well
_VARIANT = "What to change in the network: plain, or parts joined by +: " + options.WORDS


def fit(
    model: options.Model = None,
    data: options.Source = "digits",
    variant: Annotated[str, typer.Option(help=_VARIANT)] = "plain",
    seed: Annotated[int, typer.Option(help="Fixes initial weights, batches and dropout.")] = 0,
    epochs: options.Epochs = 10,
    batch_size: options.BatchSize = 64,
    lr: options.Rate = 0.01,
    optimizer: options.Optimizer = "sgd",
    momentum: options.Momentum = 0.0,
    nesterov: options.Nesterov = False,
    weight_decay: options.WeightDecay = None,
    schedule: options.Schedule = None,
    warmup: options.Warmup = None,
    clip: options.Clip = None,
    smooth: options.Smooth = None,
    l1: options.L1 = None,
    l2: options.L2 = None,
    wd: options.Decoupled = None,
    entropy: options.Entropy = None,
    augment: options.Augment = None,
    accumulate: options.Accumulate = None,
    precision: options.Precision = None,
    early_stop: options.EarlyStop = None,
    loss: options.Loss = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Steps between evaluations.", show_default="an epoch's")
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            help="File of weights; those of equal name and shape are taken over first.",
            show_default="none",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for model, history, report and checkpoints.",
            show_default="a new one under runs/",
        ),
    ] = None,
    resume: options.Resume = False,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints.", show_default="an epoch's")
    ] = None,
    device: Annotated[
        str, typer.Option(help="Where to train; auto takes CUDA, else MPS, else the CPU.")
    ] = "auto",
    output: options.Output = Format.text,
) -> None:
    """Train one network, with the words of compare, and keep the best weights.

    Exit code 1 where the training diverged.
    """
    from normwise.cli.evaluations import show
    from normwise.study import fit as run

    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the training to go on with")
    folder = out or options.new_folder(model, data)
    try:
        # Standard output carries the answer only; what the user's functions print goes aside.
        with redirect_stdout(sys.stderr):
            trained = run(
                model,
                data,
                variant,
                seed=seed,
                epochs=epochs,
                batch_size=batch_size,
                lr=lr,
                optimizer=optimizer,
                momentum=momentum,
                nesterov=nesterov,
                weight_decay=weight_decay,
                schedule=schedule,
                warmup=warmup,
                clip=clip,
                smooth=smooth,
                l1=l1,
                l2=l2,
                wd=wd,
                entropy=entropy,
                augment=augment,
                accumulate=accumulate,
                precision=precision,
                early_stop=early_stop,
                loss=loss,
                evaluate_every=evaluate_every,
                init_from=init_from,
                out=folder,
                resume=resume,
                checkpoint_every=checkpoint_every,
                device=device,
            )
    except KeyboardInterrupt:
        raise UsageError(_cut_off(folder)) from None
    if output is Format.json:
        print(trained.to_json())
    else:
        show(trained)
    if trained.interrupted:
        raise UsageError(f"interrupted. Go on with: {options.going_on(folder)}")
    if trained.diverged:
        raise typer.Exit(_DIVERGED)


def _cut_off(folder: Path) -> str:
    """Tell of a Ctrl-C that did not wait for the end of a step."""
    checkpoints = folder / "checkpoints"
    if not checkpoints.exists():
        return "interrupted before the training began: nothing was kept"
    kept = "checkpoints are" if any(checkpoints.glob("step-*.json")) else "no checkpoint is yet"
    return f"interrupted: {kept} in {folder}. Go on with: {options.going_on(folder)}"
