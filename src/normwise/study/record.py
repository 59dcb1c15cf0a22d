"""What remains of a run: plain numbers that go to disk and come back exactly."""

from dataclasses import asdict, dataclass, field
from typing import Any

from normwise.evidence import Distribution
from normwise.stack import Evaluation, Outcome
from normwise.study.plain import from_json, to_json


@dataclass(frozen=True)
class Record:
    """One finished run.

    Attributes:
        variant: its variant's name.
        seed: its seed.
        outcome: how the training went.
        snapshots: for the seed that is looked into, the distributions of the pre-activations at a
            few moments, by step; empty for the others.
        measured: the numbers of the study's own `measure`, by step.
    """

    variant: str
    seed: int
    outcome: Outcome
    snapshots: dict[int, list[Distribution]] = field(default_factory=dict)
    measured: dict[int, dict[str, float]] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return the record as JSON; NaN and infinities become strings, floats keep every bit."""
        return to_json(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Read what `to_json` wrote.

        Raises:
            ValueError, TypeError, KeyError: the text is no record.
        """
        raw = from_json(text)
        outcome = dict(raw["outcome"])
        outcome["evaluations"] = [Evaluation(**row) for row in outcome["evaluations"]]
        snapshots = {
            int(step): [Distribution(**_tuples(layer)) for layer in layers]
            for step, layers in raw["snapshots"].items()
        }
        measured = {int(step): found for step, found in raw.get("measured", {}).items()}
        return cls(raw["variant"], raw["seed"], Outcome(**outcome), snapshots, measured)


def _tuples(layer: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(item) if isinstance(item, list) else item for key, item in layer.items()}
