"""INI101: units that began alike and stay alike."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from normwise.evidence import Evidence, Level, Module, Units
from normwise.rules.finding import Finding
from normwise.rules.flow import LAYERS, feeding, measured_layers
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class IdenticalUnits(Rule):
    """Most units of a hidden layer compute the same, also after training steps.

    What it does:
        Looks for hidden layers whose weights are trained, but most of whose units have the same
        mean and variance as another in each of the last batches taken together. A last layer that
        begins at zero is not reported, nor is a single such layer among others: its units part at
        the first steps.

    Why it is bad:
        Units with the same weights on both sides get the same gradients, so they stay the same for
        ever: the layer is as good as one with a single unit.

    Example:
        `nn.init.constant_(layer.weight, 0.1)` for all layers.

    Fix:
        Draw the weights at random: `nn.init.kaiming_normal_`, or torch's defaults.

    References:
        Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.4, "break symmetry".

    Attributes:
        most: the share of units above which it is reported.
        steps: how many steps must have been measured.
        tolerance: up to which units count as the same, relative to their size.
    """

    code = "INI101"
    name = "identical-units"
    level = "error"
    since = "0.1.0"
    needs = Level.TRAINING

    most: float = 0.5
    steps: int = 4
    tolerance: float = 1e-5

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per layer."""
        if evidence.graph is None:
            raise NotEnough("the calls of functions could not be seen")
        if evidence.measured < self.steps:
            raise NotEnough(f"fewer than {self.steps} steps were measured")
        for layers in measured_layers(evidence).values():
            hidden = feeding(evidence, layers)
            inner = (m for n, m in layers if n.index in hidden and n.name in LAYERS)
            for path, module in {module.path: module for module in inner}.items():
                units = module.output.recent if module.output else None
                if units is None or len(units.mean) < 2 or not _is_trained(evidence, module):
                    continue
                share = self._share(units)
                if share > self.most:
                    yield self.finding(
                        path,
                        f"{share:.0%} of {len(units.mean)} units gave the same as another for all "
                        f"of the last {units.count} values",
                        "draw the initial weights at random, as torch does by default",
                        value=share,
                        threshold=self.most,
                    )

    def _share(self, units: Units) -> float:
        """Return the share of units that have a twin; pruned and dead ones do not count."""
        alive = units.var > 0 if units.var.any() else np.full(len(units.var), True)
        values = np.stack((units.mean[alive], np.sqrt(units.var[alive])))
        values = values[:, np.lexsort(values[::-1])]
        close = np.abs(np.diff(values)).max(0) <= self.tolerance * units.rms
        return float((np.append(close, False) | np.insert(close, 0, False)).mean())


def _is_trained(evidence: Evidence, module: Module) -> bool:
    """Whether steps have moved a layer's weights, or would have if any gradient arrived."""
    return any(
        parameter.update.high > 0 or parameter.gradient.high == 0
        for parameter in evidence.parameters.values()
        if parameter.module == module.path and parameter.optimizers and parameter.parameter.ndim > 1
    )
