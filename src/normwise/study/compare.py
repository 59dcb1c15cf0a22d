"""Compare variants of a network over many seeds."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from normwise.stack import Recipe
from normwise.stack.augmenting import Augment
from normwise.stack.heads import Losses, Metrics
from normwise.study.plan import Plan
from normwise.study.settings import Measure, Settings
from normwise.study.study import Study
from normwise.study.variants import Factory, Variants


def compare(
    model: str | Factory | None = None,
    data: Any = "digits",
    variants: Variants = ("plain", "batch"),
    *,
    seeds: int | Iterable[int] = 10,
    epochs: int = 5,
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
    target: float | None = None,
    stop_at_target: bool = False,
    margin: float | None = None,
    evaluate_every: int | None = None,
    measure: Measure | None = None,
    order: str = "shuffled",
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: str | torch.device = "cpu",
    workers: int | None = None,
    stack: int | None = None,
    progress: bool | None = None,
) -> Study:
    """Train variants of a network over many seeds, and say which is best.

    Runs are paired: seed `s` gives every variant the same batches in the same order and the same
    initial weights where shapes agree (`torch.manual_seed(s)` before the factory), so variants are
    compared seed by seed (see `normwise.stats`). All batches are full. The test split is used once
    per run, at its end.

    Args:
        model: a function without arguments that returns a fresh `nn.Module`, a module class, or
            its address, `file.py:factory` or `module:factory`. None takes a perceptron with hidden
            layers of 48 and 24 units and ReLU.
        data: whatever `normwise.data.load` takes.
        variants: what to compare, the baseline first: a list of names by the grammar, such as
            `["plain", "batch+lr=5x", "dropout=0.2"]`, or a mapping of names to such texts or to
            other factories.
        seeds: a number of seeds, or a list of them.
        epochs: passes over the training split.
        batch_size: samples in a step.
        lr: learning rate.
        optimizer: `sgd`, `adam` or `adamw`.
        momentum: of SGD.
        nesterov: Nesterov's momentum.
        weight_decay: as in `torch.optim`, for all parameters; None for torch's default.
        schedule: how the learning rate moves: `cosine`, `onecycle`, `step=E`, `exponential=G`,
            `plateau=N` or `cyclic=E`, the values being optional (see `normwise.stack.Schedule`);
            None leaves it.
        warmup: epochs in which the learning rate first rises.
        clip: largest norm of the gradient.
        smooth: label smoothing.
        l1: strength λ of a term λ Σ|w| in the loss, for weights, not for biases and norms;
            `"1e-5:encoder*"` for those of the layers so called.
        l2: likewise of a term λ Σw², whose gradient is 2 λ w. No such term counts in the losses
            that are reported.
        wd: decoupled weight decay, likewise for weights: they are multiplied by 1 - learning rate
            x `wd` before every step (Loshchilov & Hutter 2019). With AdamW it takes the place of
            `weight_decay`.
        entropy: strength β of a bonus -β H for the entropy H of the predicted classes, which keeps
            predictions from being too sure (Pereyra et al. 2017). It, too, is left out of the
            losses that are reported.
        augment: what is done to the samples of every batch of training, at random: a text such as
            `"shift:2/noise:0.1"` (`noise:STD`, in standard deviations of standardised inputs,
            `shift:PIXELS`, `rotate:DEGREES`, `erase`; see `normwise.data`), or a function of a
            batch, (N, ...), and a `torch.Generator` to draw from, which returns the changed batch.
            The word is `aug`; `aug=none` trains a variant without.
        accumulate: batches whose gradients are averaged for one step of the optimizer. Steps, as
            they are counted everywhere, are batches; schedules count the optimizer's.
        precision: `bf16` computes forward and loss of the training in bfloat16, where
            `torch.autocast` does; weights and evaluation stay float32. Such runs train alone.
        early_stop: evaluations without a lower validation loss after which a run ends; it is then
            tested with the weights of its lowest.
        loss: a function of output and target that returns the mean loss, or the name of one in
            `torch.nn.functional`; None for cross-entropy or mean squared error, by the targets.
            For several heads a dict of such.
        metric: a function of the outputs and targets of a whole split that returns a number, the
            higher the better, in place of accuracy or R²; for several heads a dict.
        loss_weights: of several heads, by name; 1 for those left out.
        target: value of the validation metric whose first reaching is timed; None for the median
            over seeds of the baseline's best.
        stop_at_target: end a run when it reaches the target.
        margin: difference of the test metric that does not matter, for the verdict *equivalent*.
        evaluate_every: steps between evaluations on the validation split; None for 8 to 50 of them.
        measure: a function of a run's network, in evaluation mode, that returns numbers by name;
            it is called at every evaluation, leaves no trace in the run, and its numbers are in
            `study.measured()`.
        order: `shuffled` draws new batches for every epoch; with `fixed` the same samples meet in
            every epoch, and with `sorted` those of a class; the turn of the batches is drawn anew.
        out: folder for the report, the tables and every finished run; None keeps all in memory.
        resume: go on with the study that `out` holds, skipping finished runs.
        device: where to train; `auto` takes CUDA, else MPS, else the CPU.
        workers: processes to train in; None for one per core where that pays.
        stack: runs that train as one program; 1 trains each alone; None takes whichever a few timed
            steps show to be faster. `study.plan` tells what was done and why.
        progress: show it; None shows it where standard error is a terminal.

    Returns:
        The study.

    Raises:
        UsageError: all that is wrong with what was asked for, before anything trains.
        KeyboardInterrupt: finished runs stay in `out`; `resume=True` goes on.

    Example:
        >>> import normwise as nw
        >>> study = nw.compare(data="digits", variants=["plain", "batch"], seeds=2, epochs=2)
        >>> study.summary()["variant"].tolist()
        ['plain', 'batch']
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
        *(epochs, batch_size, recipe, options, loss, evaluate_every, target, margin),
        measure=measure,
        order=order,
        metric=metric,
        loss_weights=loss_weights,
        stop_at_target=stop_at_target,
    )
    plan = Plan.of(model, data, variants, seeds, settings, device, workers, stack)
    return plan.run(out, resume, progress)
