"""The statistics of a batch are noise that regularises, and break where it is tiny."""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from normwise import stats
from normwise.data import Data
from normwise.lab.batches import Batch, first_batch
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import accuracies, difference, estimate, finally_measured, per_seed
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import below, both
from normwise.report import Lines
from normwise.study import compare

_BATCH = 256
_SIZES = (2, 4, 8, 16, 64, _BATCH)  # whose statistics are shared; the last is the whole batch
_MILD, _TINY = 16, 2
_EPOCHS = 40  # on small data, 160 steps
_DRAWS, _UNITS = 1000, 16  # batches, and units of the first hidden layer, to measure noise with
_NOISY = (2, 4, 8, 16, 32, 64, 128, 256, 512)
_GAP = "gap, test − training loss"


class BnBatchSize(Claim):
    """The same training, with statistics over 2 to 256 samples."""

    name = "bn-batch-size"
    statement = "The statistics of a batch are noise that regularises, and break where it is tiny."
    source = (
        "Ioffe and Szegedy (2015), Batch Normalization, section 3.4; Wu and He (2018), figure 1"
    )
    formula = (
        r"\mathrm{Var}(\mu_B)=\frac{\sigma^2}{m}, \qquad "
        r"\mathrm{Var}(\sigma_B^2)=\sigma^4\Big(\frac{\kappa-1}{m}-\frac{2(\kappa-2)}{m^2}"
        r"+\frac{\kappa-3}{m^3}\Big), \quad \kappa=\frac{\mathrm{E}[(x-\mu)^4]}{\sigma^4}"
    )
    experiment = (
        f"The perceptron of the lectures is trained by SGD at learning rate 0.1 in batches of "
        f"{_BATCH}, whose batch norms take their statistics over parts of "
        f"{', '.join(map(str, _SIZES[:-1]))} samples (ghost batches) or over the whole: the noise "
        "of the statistics changes, that of the gradient's samples does not."
    )
    measured = (
        "The standard deviation of batch mean and variance over random batches, for the first "
        "hidden layer before training; the test accuracy, and test loss less training loss, both "
        "in evaluation mode."
    )
    refuted_by = (
        f"Statistics over {_MILD} samples that leave the generalisation gap as it is, or over "
        f"{_TINY} that cost no accuracy."
    )
    criterion = (
        f"Holds where the 95 % interval of the paired difference in generalisation gap, {_MILD} − "
        f"{_BATCH} samples, lies below zero, and that of the test accuracy, {_TINY} − {_BATCH}, as "
        "well; fails where one lies above; inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train with every size of the parts."""
        setting = classic(seed, data, budget)
        setting["batch_size"], setting["lr"] = _BATCH, 0.1
        if len(data.train) < _BATCH * _EPOCHS:
            setting["epochs"] = budget.epochs(_EPOCHS)
        names = {size: f"ghost={size}" for size in _SIZES[:-1]} | {_BATCH: "batch"}
        batch = first_batch(data, len(data.train))
        study = compare(
            None,
            data,
            list(names.values()),
            measure=lambda network: {"loss": _loss(network, batch)},
            evaluate_every=10**6,
            **setting,
        )
        accuracy, measured = accuracies(study), finally_measured(study, "loss")
        train = {size: measured[name] for size, name in names.items()}
        test = {size: per_seed(study, "test_loss")[name] for size, name in names.items()}
        gap = {size: test[size] - train[size] for size in names}
        gain = stats.paired(gap[_MILD], gap[_BATCH], higher_is_better=False)
        cost = stats.paired(accuracy[names[_TINY]], accuracy["batch"])
        numbers = [
            difference(_GAP, gain, "nats", of=f"{_MILD} − {_BATCH} samples"),
            difference("test accuracy", cost, of=f"{_TINY} − {_BATCH} samples"),
        ]
        for size, name in names.items():
            of = f"{size} samples"
            numbers.append(estimate(_GAP, stats.bca(gap[size]), "nats", of=of))
            numbers.append(estimate("test accuracy", stats.bca(accuracy[name]), of=of))
        noise = noise_of_statistics(_pre_activations(seed, data))
        ratio = np.asarray(noise["measured"]) / np.asarray(noise["formula"])
        error = float(np.abs(ratio - 1).max())
        numbers.append(Number("largest error of the formulas", error, of="noise"))
        verdict = both(below(gain.low, gain.high, 0), below(cost.low, cost.high, 0))
        losses = {"training loss": train, "test loss": test}
        figures = [_noise_figure(noise), _effect_figure(losses)]
        return self.result(verdict, numbers, figures, _notes(gain, gap))


def _notes(gain: stats.Paired, gap: dict[int, NDArray[np.float64]]) -> list[str]:
    """Say how the gap goes on with smaller parts, where it is not shown to be smaller."""
    if gain.high < 0:
        return []
    smaller = " and ".join(f"{gap[size].mean():.4f} over {size}" for size in (4, 8))
    return [
        f"The gap is {gap[_MILD].mean():.4f} nats with statistics over {_MILD} samples and "
        f"{gap[_BATCH].mean():.4f} over {_BATCH}, no difference that so few seeds can show; it is "
        f"{smaller}, where both losses are higher. This training hardly overfits, so that there "
        "is little to regularise."
    ]


def _loss(network: nn.Module, batch: Batch) -> float:
    """Return the loss on the training split in evaluation mode."""
    with torch.no_grad():
        return F.cross_entropy(network(batch.x.float()), batch.y).item()


def _pre_activations(seed: int, data: Data) -> Tensor:
    torch.manual_seed(seed)
    x = first_batch(data, len(data.train)).x
    return nn.Linear(x.shape[1], _UNITS, dtype=x.dtype)(x).detach()


def noise_of_statistics(x: Tensor) -> pd.DataFrame:
    """Draw many batches of every size, and compare their statistics' spread with the formula.

    Args:
        x: values of all samples, shape (samples, units).

    Returns:
        The root mean square over units of the standard deviations of batch mean and batch
        variance, divided by σ and σ²: columns `size`, `statistic`, `measured`, `formula`.
    """
    x = (x - x.mean(0)) / x.std(0, correction=0)
    kurtosis = x.pow(4).mean(0)
    rows = []
    for size in _NOISY:
        batches = x[torch.randint(len(x), (_DRAWS, size))]
        mean, variance = batches.mean(1).var(0), batches.var(1, correction=0).var(0)
        exact = (kurtosis - 1) / size - 2 * (kurtosis - 2) / size**2 + (kurtosis - 3) / size**3
        rows.append((size, "mean", _root(mean), size**-0.5))
        rows.append((size, "variance", _root(variance), _root(exact)))
    return pd.DataFrame(rows, columns=pd.Index(["size", "statistic", "measured", "formula"]))


def _root(variances: Tensor) -> float:
    return variances.mean().sqrt().item()


def _noise_figure(noise: pd.DataFrame) -> Lines:
    return Lines(
        "The noise of batch statistics",
        "Standard deviation over random batches, the mean's in units of σ and the variance's in "
        "units of σ²: it falls as one over the root of the batch size.",
        "samples that share their statistics",
        "standard deviation",
        noise.rename(columns={"statistic": "series", "size": "x", "measured": "y"}),
        log="xy",
    )


def _effect_figure(losses: dict[str, dict[int, NDArray[np.float64]]]) -> Lines:
    found = {
        (name, size): stats.bca(values)
        for name, by_size in losses.items()
        for size, values in by_size.items()
    }
    table = pd.DataFrame(
        [(*key, each.estimate, each.low, each.high) for key, each in found.items()],
        columns=pd.Index(["series", "x", "y", "low", "high"]),
    )
    return Lines(
        "What noisy statistics do",
        "Loss after training, in evaluation mode: mean over the seeds, with its 95 % interval. "
        "The distance of the two is the generalisation gap.",
        "samples that share their statistics",
        "loss (nats)",
        table,
        baseline="training loss",
        log="xy",
    )
