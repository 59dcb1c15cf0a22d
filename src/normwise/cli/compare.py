"""`normwise compare`: which variant trains this network best?"""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from normwise.cli import options
from normwise.cli.options import Format
from normwise.errors import UsageError

_VARIANTS = (
    "Variants, joined by commas, the baseline first. A variant is plain, or parts joined by +: "
    + options.WORDS
)


def compare(
    model: options.Model = None,
    data: options.Source = "digits",
    variants: Annotated[str, typer.Option(help=_VARIANTS)] = "plain,batch,layer",
    seeds: Annotated[int, typer.Option(help="How often each variant is trained.")] = 10,
    epochs: options.Epochs = 5,
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
    target: Annotated[
        float | None,
        typer.Option(
            help="Validation metric whose first reaching is timed.",
            show_default="the baseline's median best",
        ),
    ] = None,
    stop_at_target: Annotated[
        bool, typer.Option("--stop-at-target", help="End a run when it reaches --target.")
    ] = False,
    margin: Annotated[
        float | None,
        typer.Option(help="Difference that does not matter, for the verdict 'equivalent'."),
    ] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Steps between evaluations.", show_default="auto")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the study.", show_default="a new one under runs/"),
    ] = None,
    resume: options.Resume = False,
    device: Annotated[
        str, typer.Option(help="Where to train; auto takes CUDA, else MPS, else the CPU.")
    ] = "cpu",
    workers: Annotated[
        int | None, typer.Option(help="Processes to train in.", show_default="auto")
    ] = None,
    stack: Annotated[
        int | None,
        typer.Option(
            help="Runs that train as one program; 1 trains each alone.", show_default="auto"
        ),
    ] = None,
    output: options.Output = Format.text,
) -> None:
    """Train variants of a network over many seeds and say which is best."""
    from normwise.cli.table import show
    from normwise.study import compare as run

    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the study to go on with")
    folder = out or options.new_folder(model, data)
    try:
        # Standard output carries the answer only; what the user's functions print goes aside.
        with redirect_stdout(sys.stderr):
            study = run(
                model,
                data,
                variants,
                seeds=seeds,
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
                target=target,
                stop_at_target=stop_at_target,
                margin=margin,
                evaluate_every=evaluate_every,
                out=folder,
                resume=resume,
                device=device,
                workers=workers,
                stack=stack,
            )
    except KeyboardInterrupt:
        raise UsageError(_interrupted(folder)) from None
    if output is Format.json:
        print(study.to_json())
    else:
        show(study)


def _interrupted(folder: Path) -> str:
    finished = len(list((folder / "runs").glob("*.json")))
    if not finished:
        return "interrupted before the first run was finished: nothing was kept"
    runs = "1 finished run is" if finished == 1 else f"{finished} finished runs are"
    return f"interrupted: {runs} kept in {folder}. Go on with: {options.going_on(folder)}"
