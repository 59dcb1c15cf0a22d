"""Options that `compare` and `fit` share, and what follows from them."""

import shlex
import sys
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

WORDS = (
    "batch, layer, group=G, instance, rms, ghost=N, renorm, whiten, frn, dyt (each with :after), "
    "dropout=P, gaussian-dropout=P, uout=P, concrete-dropout, locked-dropout=P, dropblock=P, "
    "dropconnect=P, droppath=P, input-dropout=P, ws, lr=5x, "
    "lr=0.05, init=he|xavier|normal=STD|zero, act=NAME, which is relu, sigmoid, tanh, "
    "elu, leaky_relu, gelu or silu, and schedule=, warmup=, clip=, smooth=, l1=, l2=, wd=, "
    "entropy=, aug= (as --augment), accumulate=, precision= and early_stop= as below."
)


class Format(StrEnum):
    """How the answer is printed."""

    text = "text"
    json = "json"


Model = Annotated[
    str | None,
    typer.Argument(
        help="file.py:factory or module:factory, a function without arguments that returns a "
        "fresh network. Default: a perceptron with hidden layers of 48 and 24 units.",
        show_default=False,
    ),
]
Source = Annotated[
    str, typer.Option(help="digits, mnist, a .npz or .safetensors file, or file.py:function.")
]
Epochs = Annotated[int, typer.Option(help="Passes over the training split.")]
BatchSize = Annotated[int, typer.Option(help="Samples in a step.")]
Rate = Annotated[float, typer.Option(help="Learning rate.")]
Optimizer = Annotated[str, typer.Option(help="sgd, adam or adamw.")]
Momentum = Annotated[float, typer.Option(help="Momentum of sgd.")]
Nesterov = Annotated[bool, typer.Option("--nesterov", help="Nesterov's momentum.")]
WeightDecay = Annotated[
    float | None, typer.Option(help="As in torch.optim.", show_default="torch's")
]
Schedule = Annotated[
    str | None,
    typer.Option(
        help="How the learning rate moves: cosine, onecycle, step, exponential, plateau or "
        "cyclic; step=E for every E epochs, exponential=G, plateau=N, cyclic=E.",
        show_default="constant",
    ),
]
Warmup = Annotated[
    float | None,
    typer.Option(help="Epochs in which the learning rate first rises.", show_default="0"),
]
Clip = Annotated[
    float | None, typer.Option(help="Largest norm of the gradient.", show_default="any")
]
Smooth = Annotated[float | None, typer.Option(help="Label smoothing.", show_default="0")]
L1 = Annotated[
    str | None,
    typer.Option(
        help="L1 term of the loss, of all weights; 1e-5:encoder* for some layers'.",
        show_default="0",
    ),
]
L2 = Annotated[str | None, typer.Option(help="L2 term of the loss, likewise.", show_default="0")]
Decoupled = Annotated[
    str | None, typer.Option(help="Decoupled weight decay, likewise.", show_default="0")
]
Entropy = Annotated[
    float | None, typer.Option(help="Bonus for the entropy of predicted classes.", show_default="0")
]
Augment = Annotated[
    str | None,
    typer.Option(
        help="Random changes of training samples: noise:STD, shift:PIXELS, rotate:DEGREES, "
        "erase; several joined by /.",
        show_default="none",
    ),
]
Accumulate = Annotated[
    int | None, typer.Option(help="Batches to a step of the optimizer.", show_default="1")
]
Precision = Annotated[
    str | None, typer.Option(help="bf16: forward and loss in bfloat16.", show_default="full")
]
EarlyStop = Annotated[
    int | None,
    typer.Option(
        help="Evaluations without a lower validation loss after which a training ends, with the "
        "weights of its lowest.",
        show_default="never",
    ),
]
Loss = Annotated[
    str | None,
    typer.Option(help="A loss of torch.nn.functional, such as huber_loss.", show_default="auto"),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what is in --out.")]
Output = Annotated[Format, typer.Option("--format", help="What is printed.")]


def new_folder(model: str | None, data: str) -> Path:
    """Return the first free folder named after the network and the data."""
    name = f"{Path(data.rpartition(':')[0] or data).stem}-{(model or 'mlp').rpartition(':')[2]}"
    folders = (Path("runs") / f"{name}-{number}" for number in count(1))
    return next(folder for folder in folders if not folder.exists())


def going_on(folder: Path) -> str:
    """Return the command that goes on with what this one began."""
    again = [argument for argument in sys.argv[1:] if argument != "--resume"]
    if not any(argument.partition("=")[0] == "--out" for argument in again):
        again += ["--out", str(folder)]
    return shlex.join(["normwise", *again, "--resume"])
