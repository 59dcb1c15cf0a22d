"""`normwise compare`: which variant trains this network best?"""

import shlex
import sys
from contextlib import redirect_stdout
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from normwise.errors import UsageError

_VARIANTS = (
    "Variants, joined by commas, the baseline first. A variant is plain, or parts joined by +: "
    "batch, layer, group=G, instance, rms, ghost=N, renorm, whiten, frn, dyt (each with :after), "
    "dropout=P, gaussian-dropout=P, uout=P, concrete-dropout, locked-dropout=P, dropblock=P, "
    "dropconnect=P, droppath=P, input-dropout=P, ws, lr=5x, "
    "lr=0.05, init=he|xavier|normal=STD|zero, act=NAME, which is relu, sigmoid, tanh, "
    "elu, leaky_relu, gelu or silu, and schedule=, warmup=, clip=, smooth=, l1=, l2=, wd=, "
    "entropy=, aug= (as --augment), accumulate= and precision= as below."
)


class Format(StrEnum):
    """How the answer is printed."""

    text = "text"
    json = "json"


def compare(
    model: Annotated[
        str | None,
        typer.Argument(
            help="file.py:factory or module:factory, a function without arguments that returns a "
            "fresh network. Default: a perceptron with hidden layers of 48 and 24 units.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str,
        typer.Option(help="digits, mnist, a .npz or .safetensors file, or file.py:function."),
    ] = "digits",
    variants: Annotated[str, typer.Option(help=_VARIANTS)] = "plain,batch,layer",
    seeds: Annotated[int, typer.Option(help="How often each variant is trained.")] = 10,
    epochs: Annotated[int, typer.Option(help="Passes over the training split.")] = 5,
    batch_size: Annotated[int, typer.Option(help="Samples in a step.")] = 64,
    lr: Annotated[float, typer.Option(help="Learning rate.")] = 0.01,
    optimizer: Annotated[str, typer.Option(help="sgd, adam or adamw.")] = "sgd",
    momentum: Annotated[float, typer.Option(help="Momentum of sgd.")] = 0.0,
    nesterov: Annotated[bool, typer.Option("--nesterov", help="Nesterov's momentum.")] = False,
    weight_decay: Annotated[
        float | None, typer.Option(help="As in torch.optim.", show_default="torch's")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            help="How the learning rate moves: cosine, onecycle, step, exponential, plateau or "
            "cyclic; step=E for every E epochs, exponential=G, plateau=N, cyclic=E.",
            show_default="constant",
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(help="Epochs in which the learning rate first rises.", show_default="0"),
    ] = None,
    clip: Annotated[
        float | None, typer.Option(help="Largest norm of the gradient.", show_default="any")
    ] = None,
    smooth: Annotated[float | None, typer.Option(help="Label smoothing.", show_default="0")] = None,
    l1: Annotated[
        str | None,
        typer.Option(
            help="L1 term of the loss, of all weights; 1e-5:encoder* for some layers'.",
            show_default="0",
        ),
    ] = None,
    l2: Annotated[
        str | None, typer.Option(help="L2 term of the loss, likewise.", show_default="0")
    ] = None,
    wd: Annotated[
        str | None,
        typer.Option(help="Decoupled weight decay, likewise.", show_default="0"),
    ] = None,
    entropy: Annotated[
        float | None,
        typer.Option(help="Bonus for the entropy of predicted classes.", show_default="0"),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option(
            help="Random changes of training samples: noise:STD, shift:PIXELS, rotate:DEGREES, "
            "erase; several joined by /.",
            show_default="none",
        ),
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Batches to a step of the optimizer.", show_default="1")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="bf16: forward and loss in bfloat16.", show_default="full"),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            help="A loss of torch.nn.functional, such as huber_loss.", show_default="auto"
        ),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(
            help="Validation metric whose first reaching is timed.",
            show_default="the baseline's median best",
        ),
    ] = None,
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
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the study in --out.")
    ] = False,
    device: Annotated[str, typer.Option(help="Where to train.")] = "cpu",
    workers: Annotated[
        int | None, typer.Option(help="Processes to train in.", show_default="auto")
    ] = None,
    stack: Annotated[
        int | None,
        typer.Option(
            help="Runs that train as one program; 1 trains each alone.", show_default="auto"
        ),
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="What is printed.")] = Format.text,
) -> None:
    """Train variants of a network over many seeds and say which is best."""
    from normwise.cli.table import show
    from normwise.study import compare as run

    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the study to go on with")
    folder = out or _new_folder(model, data)
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
                loss=loss,
                target=target,
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


def _new_folder(model: str | None, data: str) -> Path:
    """The first free folder named after the network and the data."""
    name = f"{Path(data.rpartition(':')[0] or data).stem}-{(model or 'mlp').rpartition(':')[2]}"
    folders = (Path("runs") / f"{name}-{number}" for number in count(1))
    return next(folder for folder in folders if not folder.exists())


def _interrupted(folder: Path) -> str:
    finished = len(list((folder / "runs").glob("*.json")))
    if not finished:
        return "interrupted before the first run was finished: nothing was kept"
    again = [argument for argument in sys.argv[1:] if argument != "--resume"]
    if not any(argument.partition("=")[0] == "--out" for argument in again):
        again += ["--out", str(folder)]
    runs = "1 finished run is" if finished == 1 else f"{finished} finished runs are"
    command = shlex.join(["normwise", *again, "--resume"])
    return f"interrupted: {runs} kept in {folder}. Go on with: {command}"
