"""Batch normalization bears higher learning rates."""

from normwise import stats
from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import arrivals, bands, difference, estimate, per_seed, rows
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import Verdict, above, below, both
from normwise.report import Dots, Lines
from normwise.study import Study, compare

_FASTER = ("batch+lr=5x", "batch+lr=30x")
_WITHOUT = ("lr=5x", "lr=30x")
_VARIANTS = ("plain", "batch", *_FASTER, "batch+lr=5x+act=sigmoid", *_WITHOUT)
_LOSS = 0.01  # of accuracy, that a higher rate may cost
_STEPS, _BEST = "steps, share of plain's", "best accuracy"
_OF_BATCH = "steps, share of batch's"


class BnLr(Claim):
    """Five and thirty times the learning rate, with and without batch norm."""

    name = "bn-lr"
    statement = "Batch normalization bears 5 and 30 times the learning rate, and gains from it."
    source = "Ioffe and Szegedy (2015), Batch Normalization, section 4.2.2 and figure 3"
    formula = (
        r"\mathrm{BN}\big((aW)u\big)=\mathrm{BN}(Wu), \qquad "
        r"\frac{\partial\,\mathrm{BN}((aW)u)}{\partial(aW)}"
        r"=\frac1a\,\frac{\partial\,\mathrm{BN}(Wu)}{\partial W}"
    )
    experiment = (
        "The perceptron of the lectures (48 and 24 units) is trained by SGD with learning rate "
        "0.01, plain and with batch norm; with batch norm also at 5 and 30 times this rate, and "
        "with sigmoids at 5 times. The plain network at the higher rates is the control. A seed "
        "gives all the same initial weights and batches."
    )
    measured = (
        "Steps until the validation accuracy first reaches the best that the plain network ever "
        "does (median over seeds), as ratios of medians, and every variant's best validation "
        "accuracy. Runs that never get there count with all their steps."
    )
    refuted_by = "A higher rate that needs as many steps with batch norm, or costs accuracy."
    criterion = (
        "Holds where, with batch norm at 5 and at 30 times the rate, the 95 % interval of the "
        "steps as a share of batch norm's at the plain rate lies below 1, and that of the paired "
        f"difference in best accuracy above −{_LOSS}; fails where one lies on the other side; "
        "inconclusive otherwise."
    )

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train all variants."""
        study = compare(None, data, _VARIANTS, evaluate_every=2, **classic(seed, data, budget))
        steps, best = arrivals(study), per_seed(study, "best_val_acc")
        ratios = {name: stats.bca_ratio(steps[name], steps["plain"]) for name in _VARIANTS}
        numbers = []
        verdicts: list[Verdict] = []
        for name in _VARIANTS:
            numbers += [
                estimate(_STEPS, ratios[name], of=name),
                estimate(_BEST, stats.bca(best[name]), of=name),
            ]
            if name in _FASTER:
                ratio = stats.bca_ratio(steps[name], steps["batch"])
                gain = stats.paired(best[name], best["batch"])
                verdicts.append(below(ratio.low, ratio.high, 1))
                verdicts.append(above(gain.low, gain.high, -_LOSS))
                numbers += [
                    estimate(_OF_BATCH, ratio, of=name),
                    difference("accuracy − batch's", gain, of=name),
                ]
        return self.result(
            both(*verdicts), numbers, [_curves(study), _ratios(numbers)], [_control(numbers)]
        )


def _control(numbers: list[Number]) -> str:
    """Say what the higher rates do without batch norm."""
    found = {(each.what, each.of): each.estimate for each in numbers}
    told = " and ".join(
        f"{found[_BEST, name]:.3f} after {found[_STEPS, name]:.2f} of the steps at "
        f"{name.removeprefix('lr=')}"
        for name in _WITHOUT
    )
    bears = all(found[_BEST, name] >= found[_BEST, "plain"] - _LOSS for name in _WITHOUT)
    return f"Without batch norm the network reaches {told}: " + (
        "one so shallow bears these rates, too, so that the speed is not batch norm's alone."
        if bears
        else "it does not bear them all."
    )


def _curves(study: Study) -> Lines:
    return Lines(
        "Validation accuracy",
        "Mean over the seeds, with its 95 % interval. The dashed line is the best that the plain "
        "network reaches (median over seeds): steps are counted up to there.",
        "step",
        "accuracy",
        bands(study.curves(), "val_acc"),
        baseline="plain",
        level=study.target,
        level_label="plain's best",
    )


def _ratios(numbers: list[Number]) -> Dots:
    return Dots(
        "Steps to the plain network's best accuracy",
        "As a share of the steps that the plain network needs, with 95 % intervals.",
        "steps, as a share of plain's",
        rows(numbers, _STEPS),
        log=True,
        reference=1,
        reference_label="plain",
    )
