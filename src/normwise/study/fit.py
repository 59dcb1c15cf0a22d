"""Train one network: a study of one run, which returns the network."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from normwise.data import Memory
from normwise.edit.take_weights import Source
from normwise.stack import Recipe
from normwise.stack.augmenting import Augment
from normwise.stack.heads import Losses, Metrics
from normwise.study.fitting import Fitting
from normwise.study.settings import Settings
from normwise.study.trained import Trained
from normwise.study.variants import Factory


def fit(
    model: str | Factory | nn.Module | None = None,
    data: Any = "digits",
    variant: str = "plain",
    *,
    seed: int = 0,
    epochs: int = 10,
    batch_size: int = 64,
    lr: float = 0.01,
    optimizer: str = "sgd",
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float | None = None,
    schedule: str | None = None,
    warmup: float | None = None,
    clip: float | None = None,
    smooth: float | None = None,
    l1: float | str | None = None,
    l2: float | str | None = None,
    wd: float | str | None = None,
    entropy: float | None = None,
    augment: str | Augment | None = None,
    accumulate: int | None = None,
    precision: str | None = None,
    early_stop: int | None = None,
    loss: Losses = None,
    metric: Metrics = None,
    loss_weights: Mapping[str, float] | None = None,
    evaluate_every: int | None = None,
    init_from: Source | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    checkpoint_every: int | None = None,
    device: str | torch.device = "auto",
    memory: Memory | None = None,
    progress: bool | None = None,
) -> Trained:
    """Train a network, and return it with its history.

    It is one run of `compare`: the same loop, the same words, the same batches for the same seed.
    Samples are standardised as `normwise.data.load` does; `Trained.predict` does so by itself. The
    weights of the lowest validation loss are restored at the end. Ctrl-C ends the training after
    the step that is being taken, and what is trained is returned.

    Args:
        model: a network, trained in place; or a function that makes one, or its address, as in
            `compare`. None takes a perceptron with hidden layers of 48 and 24 units and ReLU.
        data: whatever `normwise.data.load` takes. Where its validation split is empty (`val=0`),
            there is nothing to select by, and the last weights stay.
        variant: what to change, by the grammar of `compare`, such as `"batch+dropout=0.2"`.
        seed: fixes initial weights (of a function's network), batches and dropout masks.
        epochs: passes over the training split.
        batch_size: samples in a step; all batches are full.
        lr: learning rate.
        optimizer: `sgd`, `adam` or `adamw`.
        momentum: of SGD.
        nesterov: Nesterov's momentum.
        weight_decay: as in `torch.optim`; None for torch's default.
        schedule: how the learning rate moves; this and all down to `early_stop` are words of the
            grammar, explained in `compare`. Words of `variant` go before them.
        warmup: epochs in which the learning rate first rises.
        clip: largest norm of the gradient.
        smooth: label smoothing.
        l1: strength of an L1 term in the loss.
        l2: strength of an L2 term in the loss.
        wd: strength of decoupled weight decay.
        entropy: strength of an entropy bonus.
        augment: how batches are changed at random, by words, or a function of a batch and a
            generator.
        accumulate: batches for one step of the optimizer.
        precision: `bf16` or `full`.
        early_stop: evaluations without a lower validation loss after which the training ends.
        loss: a function of output and target, or the name of one in `torch.nn.functional`; a dict
            of them for several heads.
        metric: a function of the outputs and targets of a whole split, the higher the better.
        loss_weights: of several heads.
        evaluate_every: steps between evaluations; None for once an epoch.
        init_from: another network, a state dict or the path of one, whose weights of equal name
            and shape are taken over first; `Trained.notes` lists what was.
        out: folder for the network, its history, its report and the checkpoints; None keeps all
            in memory.
        resume: go on from the last checkpoint in `out`; on the same machine the result is the
            same, bit for bit.
        checkpoint_every: steps between checkpoints; None for once an epoch.
        device: where to train; `auto` takes CUDA, else MPS, else the CPU.
        memory: what the samples may take, as bytes or a text such as `"2GB"`; None for half of what
            is available. More are streamed, as `normwise.data.load` explains, to the same result.
        progress: show it; None shows it where standard error is a terminal.

    Returns:
        The trained network, its history, and ways to predict, plot and save.

    Raises:
        UsageError: all that is wrong with what was asked for, before anything trains; or why the
            training failed, with what to do.

    Example:
        >>> import normwise as nw
        >>> trained = nw.fit(None, "digits", "batch", epochs=5, lr=0.1, schedule="cosine")
        >>> trained.score > 0.9
        True
    """
    recipe = Recipe(optimizer, lr, momentum, nesterov, weight_decay)
    options = {
        "schedule": schedule,
        "warmup": warmup,
        "clip": clip,
        "smooth": smooth,
        "l1": l1,
        "l2": l2,
        "wd": wd,
        "entropy": entropy,
        "aug": augment,
        "accumulate": accumulate,
        "precision": precision,
        "early_stop": early_stop,
    }
    settings = Settings(
        *(epochs, batch_size, recipe, options, loss, evaluate_every, None, None),
        metric=metric,
        loss_weights=loss_weights,
    )
    fitting = Fitting.of(*(model, data, variant, seed, settings, device, init_from), memory=memory)
    return fitting.run(out, resume, checkpoint_every, progress)
