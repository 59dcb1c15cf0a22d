"""Findings as SARIF, the format in which code hosts and editors take what linters find."""

from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from normwise.rules.finding import Finding, Findings
from normwise.rules.pages import page, read
from normwise.rules.registry import all_rules
from normwise.rules.rule import Rule

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}


def sarif(findings: Findings) -> dict[str, Any]:
    """Return findings as a SARIF log, ready for `json.dumps`.

    Each result has the module's path as its logical location and, where known, the line that makes
    the module as its physical one. Value, threshold, step, advice and confidence are properties.

    References:
        OASIS: Static Analysis Results Interchange Format, version 2.1.0 (2020).

    Example:
        >>> found = Finding("ACT101", "dead-units", "info", "2", 3, 1.0, 0.5, "dead", "less", 0.9)
        >>> log = sarif(Findings([found], places={"2": "net.py:7"}))
        >>> [result] = log["runs"][0]["results"]
        >>> result["level"], result["locations"][0]["physicalLocation"]["region"]
        ('note', {'startLine': 7})
    """
    rules = all_rules()
    told = [rules[code] for code in sorted({finding.code for finding in findings})]
    index = {rule.code: number for number, rule in enumerate(told)}
    driver = {
        "name": "normwise",
        "version": version("normwise"),
        "rules": [_descriptor(rule) for rule in told],
    }
    notes = [{"level": "note", "message": {"text": note}} for note in findings.notes]
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": notes}],
        "results": [
            {
                "ruleId": finding.code,
                "ruleIndex": index[finding.code],
                "level": _LEVELS[finding.level],
                "message": {"text": f"{finding.message}. {_sentence(finding.advice)}"},
                "locations": [_location(finding.where, findings.place(finding))],
                "partialFingerprints": {"normwise/v1": f"{finding.code}@{finding.where}"},
                "properties": _properties(finding),
            }
            for finding in findings
        ],
    }
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }


def _descriptor(rule: Rule) -> dict[str, Any]:
    summary, _ = read(rule)
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": " ".join(summary.split())},
        "help": {"text": page(rule), "markdown": page(rule)},
        "defaultConfiguration": {"level": _LEVELS[rule.level]},
    }


def _location(where: str, place: str) -> dict[str, Any]:
    location: dict[str, Any] = {}
    if where != place:
        location["logicalLocations"] = [
            {"fullyQualifiedName": where or "the network", "kind": "module"}
        ]
    if place:
        file, _, line = place.rpartition(":")
        location["physicalLocation"] = {
            "artifactLocation": {"uri": quote(file.replace("\\", "/"), safe="/:")},
            "region": {"startLine": int(line)},
        }
    return location


def _properties(finding: Finding) -> dict[str, Any]:
    fields = finding.to_dict()
    wanted = ("value", "threshold", "step", "advice", "confidence")
    return {name: fields[name] for name in wanted if fields[name] is not None}


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
