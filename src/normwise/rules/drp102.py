"""DRP102: dropout that leaves next to nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, prod, sqrt

from normwise.evidence import Evidence, Level, Node
from normwise.rules.dropping import dropouts, rate
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class DropoutStarvesLayer(Rule):
    """So few units of a layer survive dropout that the next layer mostly sees its noise.

    What it does:
        Computes the standard deviation of the share of units that survive, relative to its mean:
        sqrt(p / ((1 - p) n)) for n units. Channels count as units where whole channels are
        dropped. A mask of one value per sample, as in stochastic depth, is not reported.

    Why it is bad:
        What the next layer gets swings by that much from step to step and from sample to sample,
        whatever the input; units that should act together hardly ever meet.

    Example:
        `nn.Dropout(0.5)` on 4 units, or `nn.Dropout(0.95)` on 64.

    Fix:
        Lower p, or make the layer wider: with p = 0.5, twice as wide as without dropout.

    References:
        Srivastava et al.: Dropout: A Simple Way to Prevent Neural Networks from Overfitting
        (2014), section 7.3.

    Attributes:
        noise: the relative standard deviation from which on it is reported.
    """

    code = "DRP102"
    name = "dropout-starves-layer"
    level = "warning"
    since = "0.1.0"
    needs = Level.FORWARD

    noise: float = 0.5

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per module that calls dropout."""
        if evidence.graph is None:
            raise NotEnough("the calls of functions could not be seen")
        worst: dict[str, Node] = {}
        for node in dropouts(evidence.graph):
            place = node.module or ""
            if _units(node) > 1 and noise(node) > noise(worst.get(place)):
                worst[place] = node
        for place, node in worst.items():
            if noise(node) >= self.noise:
                p, units = rate(node), _units(node)
                yield self.finding(
                    place,
                    f"p={p:g} leaves {(1 - p) * units:.2g} of {units} units on average: their "
                    f"share varies by {noise(node):.0%}",
                    "lower p, or make the layer wider",
                    value=noise(node),
                    threshold=self.noise,
                )


def noise(node: Node | None) -> float:
    """Return the relative standard deviation of the share of units that survive."""
    if node is None:
        return 0.0
    p = rate(node)
    return sqrt(p / ((1 - p) * _units(node))) if p < 1 else inf


def _units(node: Node) -> int:
    """Return how many values of a sample are dropped independently of each other."""
    whole_channels = node.name[-2:] in ("1d", "2d", "3d") or node.name.startswith("feature")
    if not whole_channels:
        return prod(node.shape[1:])
    return node.shape[1] if len(node.shape) > 1 else 1
