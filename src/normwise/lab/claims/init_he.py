"""He's initialization lets very deep networks of ReLUs converge."""

import numpy as np
import pandas as pd

from normwise import stats
from normwise.data import Data
from normwise.lab.budget import Budget
from normwise.lab.claim import Claim
from normwise.lab.reading import accuracies, bands, estimate
from normwise.lab.result import Number, Result
from normwise.lab.settings import classic
from normwise.lab.verdicts import above, below, both
from normwise.report import Lines
from normwise.study import Study, compare, mlp

_LAYERS, _WIDTH = (22, 30), 48  # the paper's, with weights
_RATE = 0.003
_EPOCHS = 2  # as many as in the classic setting
_NAMES = {"init=xavier": "Xavier", "init=he": "He"}
_CONVERGES, _STALLS = 0.5, 0.3  # accuracy, where guessing gives 0.1
_SHRINKS = "standard deviation, factor per layer"


class InitHe(Claim):
    """Networks of 22 and 30 layers from He's and from Xavier's initial weights."""

    name = "init-he"
    statement = "For deep networks of ReLUs He's initialization converges where Xavier's stalls."
    source = "He, Zhang, Ren and Sun (2015), Delving Deep into Rectifiers, section 2.2, figure 3"
    formula = (
        r"\mathrm{Var}(y_l) = n\,\mathrm{Var}(w)\,\mathrm{E}[x_l^2] "
        r"= \frac{1}{2}\,n\,\mathrm{Var}(w)\,\mathrm{Var}(y_{l-1}), "
        r"\quad x_l=\max(0,y_{l-1}),\; \mathrm{E}[y_{l-1}]=0"
        "\n"
        r"\text{He: } \mathrm{Var}(w) = \frac{2}{n} \qquad "
        r"\text{Xavier: } \mathrm{Var}(w)=\frac{1}{n} "
        r"\;\Rightarrow\; \mathrm{Var}(y_L)=2^{-L}\,\mathrm{Var}(y_0)"
    )
    experiment = (
        f"Perceptrons with 22 and 30 layers of weights and {_WIDTH} ReLU units in each hidden "
        f"layer are trained by SGD with learning rate {_RATE} (a higher one throws networks of "
        "this depth about) and momentum 0.9, from normalised Xavier's and from He's initial "
        "weights, on the same batches."
    )
    measured = (
        "The test accuracy; and before the first step the standard deviation of every hidden "
        "layer's pre-activations on validation samples."
    )
    refuted_by = "A network of 30 layers that learns from Xavier's weights, or none from He's."
    criterion = (
        "Holds where at 30 layers the 95 % interval of the test accuracy lies above "
        f"{_CONVERGES} from He's weights and below {_STALLS} from Xavier's; fails where one of "
        "them lies on the other side; inconclusive otherwise."
    )
    errata = (11,)

    def run(self, seed: int, data: Data, budget: Budget) -> Result:
        """Train networks of both depths from both."""
        setting = classic(seed, data, budget)
        setting["epochs"] *= _EPOCHS
        setting["lr"] = _RATE
        numbers, curves, studies = [], [], {}
        for layers in _LAYERS:
            make = mlp(data, (_WIDTH,) * (layers - 1))
            study = compare(make, data, list(_NAMES), momentum=0.9, **setting)
            studies[layers] = study
            for variant, accuracy in accuracies(study).items():
                of = f"{_NAMES[variant]}, {layers} layers"
                numbers.append(estimate("test accuracy", stats.bca(accuracy), of=of))
                numbers.append(Number(_SHRINKS, _factor(study, variant), of=of))
            curves.append(bands(study.curves(), "val_loss").assign(panel=f"{layers} layers"))
        deep = {each.of: each for each in numbers if each.what == "test accuracy"}
        he, xavier = (deep[f"{name}, {_LAYERS[-1]} layers"] for name in ("He", "Xavier"))
        verdict = both(above(he.low, he.high, _CONVERGES), below(xavier.low, xavier.high, _STALLS))
        figures = [_loss_figure(pd.concat(curves)), _scale_figure(studies[_LAYERS[-1]])]
        return self.result(verdict, numbers, figures)


def _initial(study: Study) -> pd.DataFrame:
    """Return the hidden layers of the first seed's networks before the first step, numbered."""
    before = study.results.layers().query("step == 0")
    return before.assign(place=before.groupby("variant", sort=False).cumcount() + 1)


def _factor(study: Study, variant: str) -> float:
    """Return the geometric mean of the factors from layer to layer."""
    std = _initial(study).set_index("variant").loc[variant, "std"]
    return float(np.exp(np.diff(np.log(std)).mean()))


def _loss_figure(curves: pd.DataFrame) -> Lines:
    return Lines(
        "Validation loss of very deep networks",
        "Mean over the seeds, with its 95 % interval. Guessing gives log 10 = 2.3 nats.",
        "step",
        "validation loss (nats)",
        curves.replace({"series": _NAMES}),
        baseline="Xavier",
    )


def _scale_figure(study: Study) -> Lines:
    before = _initial(study).replace({"variant": _NAMES})
    table = pd.DataFrame({"series": before["variant"], "x": before["place"], "y": before["std"]})
    return Lines(
        f"Pre-activations before the first step, {_LAYERS[-1]} layers",
        "Standard deviation over validation samples and units, first seed. From Xavier's weights "
        "every ReLU halves the variance; He's make up for it.",
        "hidden layer (1 is next to the input)",
        "standard deviation",
        table,
        baseline="Xavier",
        log="y",
    )
