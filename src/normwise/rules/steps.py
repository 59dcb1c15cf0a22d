"""How far an optimizer's steps move the weights, relative to their size."""

from collections.abc import Iterator

from normwise.evidence import Evidence, Optimizer, Parameter


def moved(evidence: Evidence, enough: int) -> Iterator[tuple[Optimizer, list[Parameter]]]:
    """Yield each optimizer with those of its weight matrices whose updates were measured.

    Args:
        evidence: what was measured.
        enough: how many updates of a matrix must have been.
    """
    for optimizer in evidence.optimizers:
        matrices = [
            parameter
            for parameter in evidence.parameters.values()
            if optimizer.index in parameter.optimizers
            and parameter.parameter.ndim > 1
            and len(parameter.ratio.values) >= enough
        ]
        if matrices:
            yield optimizer, matrices
