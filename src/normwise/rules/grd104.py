"""GRD104: parameters that gradients never reach."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Parameter
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class UnreachedParameters(Rule):
    """Parameters are to be trained, but no gradient ever reaches them.

    What it does:
        Looks for parameters that require a gradient, are held by an optimizer that steps, and had
        none, or exactly zero, at every measured step. Where all units of an activation are dead,
        zeros are its fault, and are left to ACT101.

    Why it is bad:
        That part of the network keeps its random initial values; weight decay may even shrink it
        to nothing.

    Example:
        `features = self.encoder(x).detach()`, a branch that the forward leaves out, or `round()`
        on the way to the loss.

    Fix:
        Take out what cuts the path (`detach`, `.data`, `no_grad`, `argmax`, `round`). What shall
        stay as it is needs `requires_grad_(False)`; what is not used can go.

    References:
        PyTorch documentation: Autograd mechanics, "Locally disabling gradient computation".

    Attributes:
        steps: how many steps must have been measured.
    """

    code = "GRD104"
    name = "unreached-parameters"
    level = "warning"
    since = "0.1.0"
    needs = Level.BACKWARD

    steps: int = 8

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding per module, the outermost of which all parameters are unreached."""
        judged = {
            name: p
            for name, p in evidence.parameters.items()
            if p.parameter.requires_grad and p.steps >= self.steps
        }
        if not judged:
            raise NotEnough(f"fewer than {self.steps} steps were measured")
        dead = any(a.output.dead == 1 for a in evidence.activations.values())
        unreached = {name for name, p in judged.items() if _is_unreached(p, zeros=not dead)}
        found: dict[str, list[str]] = {}
        for name in unreached:
            found.setdefault(_outermost(name, unreached, judged), []).append(name)
        for path, names in found.items():
            yield self.finding(
                path,
                f"no gradient reached {', '.join(sorted(names)[:3])}"
                f"{' and others' if len(names) > 3 else ''} in {judged[names[0]].steps} steps",
                "take out what cuts the path to the loss, such as detach or round; or call "
                "requires_grad_(False) on what shall not change",
                value=float(len(names)),
                threshold=0.0,
                confidence=0.9,
            )


def _is_unreached(parameter: Parameter, *, zeros: bool) -> bool:
    return not parameter.has_gradient or (zeros and parameter.gradient.high == 0)


def _outermost(name: str, unreached: set[str], judged: dict[str, Parameter]) -> str:
    """Return the shortest path to a parameter under which no other one is reached."""
    parts = name.split(".")[:-1]
    for depth in range(len(parts) + 1):
        path = ".".join(parts[:depth])
        below = {other for other in judged if not path or other.startswith(f"{path}.")}
        if below <= unreached:
            return path
    return ".".join(parts)
