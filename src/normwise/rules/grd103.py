"""GRD103: gradients that are infinite or not a number."""

from collections.abc import Iterator
from dataclasses import dataclass

from normwise.evidence import Evidence, Level, Parameter
from normwise.rules.finding import Finding
from normwise.rules.rule import NotEnough, Rule


@dataclass(frozen=True)
class NonFiniteGradients(Rule):
    """An optimizer was given gradients that are infinite or not a number.

    What it does:
        Looks at the norm of each parameter's gradient right before the optimizer steps. Steps that
        a gradient scaler leaves out because of an overflow are not steps, and do not count.

    Why it is bad:
        One such step makes the weights NaN, and they stay so.

    Example:
        `x.norm()` or `x.sqrt()` at 0, whose derivative is infinite.

    Fix:
        Find the place with `torch.autograd.set_detect_anomaly(True)`; add a small constant inside
        roots, logarithms and denominators; lower the learning rate if the loss grew before.

    References:
        PyTorch documentation: Automatic differentiation, "Anomaly detection".
    """

    code = "GRD103"
    name = "non-finite-gradients"
    level = "error"
    since = "0.1.0"
    needs = Level.BACKWARD

    def check(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield one finding, at the last layer whose gradient broke first."""
        known = [p for p in evidence.parameters.values() if p.gradient.count]
        if not known:
            raise NotEnough("no gradient was measured")
        broken = [p for p in known if p.gradient.nonfinite]
        if not broken:
            return
        step = min(_step(parameter) for parameter in broken)
        origin = [p for p in broken if _step(p) == step][-1]
        yield self.finding(
            origin.module,
            f"the gradient of {origin.name} is not finite at step {step}, as at "
            f"{origin.gradient.nonfinite - 1} steps after it; {_cause(evidence, step)}",
            "find the operation with torch.autograd.set_detect_anomaly(True)",
            value=float(origin.gradient.nonfinite),
            threshold=0.0,
            step=step,
        )


def _step(parameter: Parameter) -> int:
    step = parameter.gradient.nonfinite_step
    assert step is not None
    return step


def _cause(evidence: Evidence, step: int) -> str:
    if any(b.input is not None and not b.input.finite for b in evidence.batches):
        return "the inputs were not finite either"
    losses = [evidence.objective, *(loss.value for loss in evidence.losses if loss.training)]
    steps = [loss.nonfinite_step for loss in losses if loss.nonfinite_step is not None]
    return "the loss was not finite either" if step in steps else "the loss still was"
