"""What was found and measured, as the report's tables and as a page."""

import os
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from normwise.evidence import Evidence, Parameter, Training, Units
from normwise.files import write_text
from normwise.report import FindingsTables, TrainingTables, findings_page
from normwise.rules.finding import LEVELS, Findings
from normwise.rules.script import Outcome

_BINS = 40


def write_page(outcome: Outcome, path: str | os.PathLike[str], *, title: str) -> Path:
    """Write the findings of a script, with the distributions in its networks, as an HTML page.

    Args:
        outcome: from `run_script`.
        path: of the page.
        title: at its top.

    Raises:
        UsageError: the file cannot be written.

    Example:
        >>> from normwise.rules.finding import Findings
        >>> path = write_page(Outcome(Findings(), (), 0), "page.html", title="train.py")
        >>> "Nothing was found" in path.read_text()
        True
    """
    tables = FindingsTables(
        title,
        verdict(outcome.findings),
        outcome.findings.notes,
        facts(outcome),
        findings_table(outcome.findings),
        [training_tables(training) for training in outcome.trainings],
    )
    return write_text(path, findings_page(tables))


def verdict(findings: Findings) -> str:
    """Say in one sentence what was found.

    Example:
        >>> verdict(Findings(clean=["NRM101"]))
        'Nothing was found: 1 rule had enough evidence.'
    """
    if not findings:
        told = len(findings.clean)
        rules = f"{told} rule{'' if told == 1 else 's'}"
        return f"Nothing was found: {rules} had enough evidence."
    counts = [(level, sum(f.level == level for f in findings)) for level in LEVELS]
    words = {"info": "remark"}
    parts = [
        f"{count} {words.get(level, level)}{'' if count == 1 else 's'}"
        for level, count in counts
        if count
    ]
    worst = findings[0]
    return f"{', '.join(parts)}. First of all: {worst.message}."


def facts(outcome: Outcome) -> dict[str, str]:
    """Return how it was measured, by name."""
    evidence = [training.evidence for training in outcome.trainings]
    return {
        "optimizer steps": str(sum(each.steps for each in evidence)),
        "measured": str(sum(each.measured for each in evidence)),
        "rules that found nothing": ", ".join(outcome.findings.clean) or "none",
        "rules that could not tell": _reasons(outcome.findings.unanswered),
        "versions": f"normwise {version('normwise')}, torch {torch.__version__}",
    }


def findings_table(findings: Findings) -> pd.DataFrame:
    """Return the report's table of findings."""
    rows = [
        {
            "level": finding.level,
            "code": finding.code,
            "name": finding.name,
            "where": finding.where or "the network",
            "place": findings.place(finding),
            "step": float("nan") if finding.step is None else finding.step,
            "message": finding.message,
            "advice": finding.advice,
        }
        for finding in findings
    ]
    return pd.DataFrame(rows)


def training_tables(training: Training) -> TrainingTables:
    """Return the report's tables of one training."""
    evidence = training.evidence
    outputs = _outputs(evidence)
    layers = [
        {
            "layer": path or "the network",
            "type": kind,
            "std": units.total_std,
            "dead": units.dead,
            "saturated": units.saturated,
        }
        for path, (kind, units) in outputs.items()
    ]
    bins = [
        {"layer": path or "the network", "left": left, "right": right, "density": density}
        for path, (_, units) in outputs.items()
        for left, right, density in _histogram(units.sample)
    ]
    return TrainingTables(
        " and ".join(training.networks) if len(training.networks) > 1 else "Inside the network",
        pd.DataFrame({"step": evidence.objective.steps, "value": evidence.objective.values}),
        pd.DataFrame(layers),
        pd.DataFrame(bins),
        pd.DataFrame([_weight(n, p) for n, p in evidence.parameters.items() if p.gradient.count]),
    )


def _outputs(evidence: Evidence) -> dict[str, tuple[str, Units]]:
    """Return what each layer or activation puts out, in the order of the network."""
    found = {
        path: (module.type, module.output)
        for path, module in evidence.modules.items()
        if module.output is not None
    }
    return found | {path: (each.name, each.output) for path, each in evidence.activations.items()}


def _histogram(sample: np.ndarray | None) -> Iterator[tuple[float, float, float]]:
    """Yield left and right end and density of each bin; nothing for constants and infinities."""
    finite = np.empty(0) if sample is None else sample[np.isfinite(sample)]
    if not len(finite) or finite.min() == finite.max():
        return
    density, edges = np.histogram(finite, bins=_BINS, density=True)
    yield from zip(edges[:-1].tolist(), edges[1:].tolist(), density.tolist(), strict=True)


def _weight(name: str, parameter: Parameter) -> dict[str, object]:
    gradient = parameter.gradient
    return {
        "parameter": name,
        "gradient": gradient.mean,
        "lowest": gradient.low,
        "highest": gradient.high,
        "ratio": parameter.ratio.mean,
    }


def _reasons(unanswered: dict[str, str]) -> str:
    codes: dict[str, list[str]] = defaultdict(list)
    for code, reason in unanswered.items():
        codes[reason].append(code)
    return "; ".join(f"{', '.join(each)}: {why}" for why, each in codes.items()) or "none"
