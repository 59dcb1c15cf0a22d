import pytest
import torch

import normwise as nw
from normwise.lab import ERRATA


@pytest.fixture(scope="module")
def result():
    return nw.lab.run("backprop-walk")


def test_the_graph_by_hand(result):
    """x₁ = 1, w₁ = 2, x₂ = −2, w₂ = 3: ∂y/∂x₂ = 3·2·x₂ = −12, and so on."""
    nodes = result.figures[0].nodes.set_index("node")
    names = ["x₁", "w₁", "x₂", "w₂", "y₁", "y₂", "y₃", "y₄"]
    assert nodes.loc[names, "value"].tolist() == [1, 2, -2, 3, 2, 4, 1, 5]
    assert nodes.loc[names, "gradient"].tolist() == [2, 1, -12, -3, 1, 3, 3, 1]


def test_gradients_are_sums_over_the_arrows(result):
    """The chain rule, from the drawn numbers alone."""
    graph = result.figures[0]
    gradient = graph.nodes.set_index("node")["gradient"]
    passed = graph.edges["derivative"].astype(float) * gradient[graph.edges["target"]].to_numpy()
    summed = passed.groupby(graph.edges["source"]).sum()
    assert summed.to_dict() == gradient.drop("y₄").to_dict()


def test_the_claim_holds(result):
    assert result.verdict == "holds"
    error, differs, most, visits, paths = (number.estimate for number in result.numbers)
    assert error == 0
    assert differs < 1e-14
    assert most == 1
    assert visits == 3 * 16 + 1  # sum, sine and half per step, and the input
    assert paths == 2**16


def test_erratum_6_the_printed_graph_forgets_w2():
    """y₁ + 3·y₂ is another function, in which w₂ has no part."""
    x1, w1, x2, w2 = inputs = [torch.tensor(v, requires_grad=True) for v in (1.0, 2.0, -2.0, 3.0)]
    y1, y2 = x1 * w1, x2**2
    y3 = y2 - w2
    asked = x1 * w1 + 3 * (x2**2 - w2)
    assert y1 + 3 * y3 == asked == 5
    printed = y1 + 3 * y2
    assert printed == 14
    assert torch.autograd.grad(printed, inputs, allow_unused=True)[3] is None
    assert torch.autograd.grad(asked, w2)[0] == -3
    assert "3·y₃" in ERRATA[6].right


def test_erratum_7_forward_mode_needs_a_pass_per_input():
    """From the inputs on, a pass gives one directional derivative; from the output, all."""

    def y(x: torch.Tensor) -> torch.Tensor:
        return x[0] * x[1] + 3 * (x[2] ** 2 - x[3])

    x = torch.tensor([1.0, 2.0, -2.0, 3.0])
    reverse = torch.func.vjp(y, x)[1](torch.ones(()))[0]
    assert reverse.tolist() == [2, 1, -12, -3]
    passes = [torch.func.jvp(y, (x,), (direction,))[1] for direction in torch.eye(4)]
    assert torch.stack(passes).tolist() == reverse.tolist()
    assert "from the output to the inputs" in ERRATA[7].right
