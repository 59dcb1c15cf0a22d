import pytest
from torch import nn

from normwise.errors import UsageError
from normwise.trace.matching import matching

SHARED = nn.Linear(2, 2)
NET = nn.ModuleDict(
    {
        "encoder": nn.ModuleDict({"fc1": nn.Linear(2, 2), "fc2": SHARED}),
        "decoder": nn.ModuleDict({"fc1": nn.Linear(2, 3), "tied": SHARED}),
    }
)
CANDIDATES = {path: m for path, m in NET.named_modules() if isinstance(m, nn.Linear)}


@pytest.mark.parametrize(
    ("where", "paths"),
    [
        (None, ["encoder.fc1", "encoder.fc2", "decoder.fc1"]),
        ("encoder.*", ["encoder.fc1", "encoder.fc2"]),
        ("*fc1", ["encoder.fc1", "decoder.fc1"]),
        (["decoder.fc1", "encoder.fc[12]"], ["encoder.fc1", "encoder.fc2", "decoder.fc1"]),
        ("decoder.tied", ["encoder.fc2"]),
        (lambda path, module: module.out_features == 3, ["decoder.fc1"]),
        (lambda path, module: path.endswith("tied"), ["encoder.fc2"]),
    ],
)
def test_matches(where, paths):
    assert matching(where, NET, CANDIDATES, "layer") == paths


@pytest.mark.parametrize(
    ("where", "problems"),
    [
        (
            ["fc1", "*.fc1", "decodr.fc1"],
            [
                "where='fc1' matches no layer: there are encoder.fc1, encoder.fc2, decoder.fc1",
                "where='decodr.fc1' matches no layer (did you mean 'decoder.fc1'?): there are "
                "encoder.fc1, encoder.fc2, decoder.fc1",
            ],
        ),
        (
            [],
            ["where=[]: give a pattern such as 'encoder.*', several, or a function of a module's"],
        ),
        ([3], ["where=[3]: give a pattern"]),
        (3, ["where=3: give a pattern"]),
        (lambda path, module: False, ["where=<lambda> chooses no layer: there are encoder.fc1"]),
    ],
)
def test_refusals(where, problems):
    with pytest.raises(UsageError) as caught:
        matching(where, NET, CANDIDATES, "layer")
    assert len(caught.value.problems) == len(problems)
    for one, other in zip(caught.value.problems, problems, strict=True):
        assert one.startswith(other)
