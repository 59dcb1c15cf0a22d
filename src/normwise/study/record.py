"""What remains of a run: plain numbers that go to disk and come back exactly."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any

from normwise.evidence import Distribution
from normwise.stack import Evaluation, Outcome


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
        return json.dumps(_plain(asdict(self)), allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Record":
        """Read what `to_json` wrote.

        Raises:
            ValueError, TypeError, KeyError: the text is no record.
        """
        raw = _numbers(json.loads(text))
        outcome = dict(raw["outcome"])
        outcome["evaluations"] = [Evaluation(**row) for row in outcome["evaluations"]]
        snapshots = {
            int(step): [Distribution(**_tuples(layer)) for layer in layers]
            for step, layers in raw["snapshots"].items()
        }
        measured = {int(step): found for step, found in raw.get("measured", {}).items()}
        return cls(raw["variant"], raw["seed"], Outcome(**outcome), snapshots, measured)


_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case float() if not math.isfinite(value):
            return {"float": json.dumps(value)}
        case _:
            return value


def _numbers(value: Any) -> Any:
    match value:
        case {"float": str(special)}:
            return _SPECIAL[special]
        case dict():
            return {key: _numbers(item) for key, item in value.items()}
        case list():
            return [_numbers(item) for item in value]
        case _:
            return value


def _tuples(layer: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(item) if isinstance(item, list) else item for key, item in layer.items()}
