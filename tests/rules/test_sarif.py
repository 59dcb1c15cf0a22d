"""The structure of SARIF 2.1.0: what the standard requires of each object used."""

import json
import math

from normwise.rules import Finding, Findings, all_rules, sarif


def finding(code: str, where: str, level: str = "warning", value: float = 1.0) -> Finding:
    rule = all_rules()[code]
    return Finding(code, rule.name, level, where, 3, value, 0.5, "too much", "take less", 0.9)  # type: ignore[arg-type]


FINDINGS = Findings(
    [
        finding("LOS101", "C:\\my nets\\train.py:12", "error"),
        finding("ACT101", "encoder.2", "warning", math.inf),
        finding("NRM101", "", "info"),
    ],
    notes=("something was not seen",),
    places={"encoder.2": "nets/my net.py:7"},
)


def test_the_log_is_json_without_infinities():
    text = json.dumps(sarif(FINDINGS), allow_nan=False)
    log = json.loads(text)
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    [run] = log["runs"]
    assert set(run) == {"tool", "invocations", "results"}


def test_results_refer_to_rules_by_id_and_index():
    [run] = sarif(FINDINGS)["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "normwise"
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids) == 3
    for result, found in zip(run["results"], FINDINGS, strict=True):
        assert ids[result["ruleIndex"]] == result["ruleId"] == found.code
        assert result["message"]["text"] == "too much. Take less."
        assert result["locations"]
        assert result["partialFingerprints"] == {"normwise/v1": f"{found.code}@{found.where}"}
    assert [result["level"] for result in run["results"]] == ["error", "warning", "note"]
    for rule in driver["rules"]:
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
        assert rule["shortDescription"]["text"].endswith(".")
        assert rule["help"]["markdown"].startswith(f"# {rule['id']}: {rule['name']}")


def test_locations_are_lines_where_known_and_modules():
    [run] = sarif(FINDINGS)["runs"]
    [loop], [module], [network] = (result["locations"] for result in run["results"])
    assert loop == {
        "physicalLocation": {
            "artifactLocation": {"uri": "C:/my%20nets/train.py"},
            "region": {"startLine": 12},
        }
    }
    assert module["logicalLocations"] == [{"fullyQualifiedName": "encoder.2", "kind": "module"}]
    assert module["physicalLocation"]["artifactLocation"] == {"uri": "nets/my%20net.py"}
    assert module["physicalLocation"]["region"] == {"startLine": 7}
    assert "physicalLocation" not in network


def test_properties_hold_what_sarif_has_no_field_for():
    [run] = sarif(FINDINGS)["runs"]
    first, second, _ = (result["properties"] for result in run["results"])
    assert first == {
        "value": 1.0,
        "threshold": 0.5,
        "step": 3,
        "advice": "take less",
        "confidence": 0.9,
    }
    assert "value" not in second  # it was infinite


def test_notes_become_notifications():
    [run] = sarif(FINDINGS)["runs"]
    [invocation] = run["invocations"]
    assert invocation["executionSuccessful"] is True
    assert invocation["toolExecutionNotifications"] == [
        {"level": "note", "message": {"text": "something was not seen"}}
    ]


def test_nothing_found_is_a_log_too():
    [run] = sarif(Findings())["runs"]
    assert run["results"] == []
    assert run["tool"]["driver"]["rules"] == []
