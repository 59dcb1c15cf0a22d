"""What was found and measured, as the report's tables and as a page."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from normwise.evidence import Evidence, Parameter, Units
from normwise.files import write_text
from normwise.report import FindingsTables, TrainingTables, findings_page
from normwise.rules.finding import LEVELS, Findings

_BINS = 40


def write_page(
    findings: Findings,
    trainings: Sequence[tuple[Collection[str], Evidence]],
    path: str | os.PathLike[str],
    *,
    title: str,
) -> Path:
    """Write findings, with the distributions in the networks, as an HTML page.

    Args:
        findings: of all trainings.
        trainings: the names of the networks that trained together, and what was measured of them.
        path: of the page.
        title: at its top.

    Raises:
        UsageError: the file cannot be written.

    Example:
        >>> from normwise.rules.finding import Findings
        >>> path = write_page(Findings(), [], "page.html", title="train.py")
        >>> "Nothing was found" in path.read_text()
        True
    """
    tables = FindingsTables(
        title,
        verdict(findings),
        findings.notes,
        facts(findings, [evidence for _, evidence in trainings]),
        findings_table(findings),
        [training_tables(names, evidence) for names, evidence in trainings],
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


def facts(findings: Findings, trainings: Collection[Evidence]) -> dict[str, str]:
    """Return how it was measured, by name."""
    return {
        "optimizer steps": str(sum(each.steps for each in trainings)),
        "measured": str(sum(each.measured for each in trainings)),
        "rules that found nothing": ", ".join(findings.clean) or "none",
        "rules that could not tell": _reasons(findings.unanswered),
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


def training_tables(networks: Collection[str], evidence: Evidence) -> TrainingTables:
    """Return the report's tables of one training."""
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
        " and ".join(networks) if len(networks) > 1 else "Inside the network",
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
