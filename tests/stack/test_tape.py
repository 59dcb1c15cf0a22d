"""A tape holds what torch's own recorder writes down, and computes the same from other inputs."""

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

from normwise.stack.tape import taped

WEIGHTS = torch.linspace(-1, 1, 3)
LSTM = nn.LSTM(3, 2, batch_first=True)


def gradient(weight: Tensor, x: Tensor) -> list[Tensor]:
    weight = weight.detach().requires_grad_()

    def loss(x: Tensor) -> Tensor:
        return (F.softmax(x @ weight, -1) * WEIGHTS).sum().sigmoid()

    losses = torch.vmap(loss)(x)
    return [losses.detach(), *torch.autograd.grad(losses.sum(), [weight])]


def running(mean: Tensor, x: Tensor) -> list[Tensor]:
    """Changes an input in place, through a view."""
    mean[:2].lerp_(x.mean(0)[:2], 0.1)
    return [x - mean]


def parts(x: Tensor, y: Tensor) -> list[Tensor]:
    variance, mean = torch.var_mean(x, 0)
    first, *_ = y.split(2)
    return [variance + mean, first, x.new_zeros(2)]


def recurrent(x: Tensor, weights: Tensor) -> list[Tensor]:
    pieces = weights.split([parameter.numel() for parameter in LSTM.parameters()])
    named = zip(LSTM.named_parameters(), pieces, strict=True)
    values = {name: piece.view_as(parameter) for (name, parameter), piece in named}
    return [torch.func.functional_call(LSTM, values, (x[None],))[0]]


def image(x: Tensor, weight: Tensor) -> list[Tensor]:
    """The convolution's backward returns no gradient of a bias."""
    weight = weight.detach().requires_grad_()
    y = F.conv2d(x, weight, padding=1).relu()
    return [y.detach(), *torch.autograd.grad(F.max_pool2d(y, 2).square().sum(), [weight])]


CASES: dict[str, tuple[Callable[..., Sequence[Tensor]], list[tuple[int, ...]]]] = {
    "gradient": (gradient, [(4, 3), (5, 4)]),
    "running": (running, [(3,), (5, 3)]),
    "parts": (parts, [(4, 3), (6, 2)]),
    "recurrent": (recurrent, [(4, 3), (56,)]),
    "image": (image, [(2, 3, 8, 8), (4, 3, 3, 3)]),
}


def inputs(shapes: Sequence[tuple[int, ...]], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float32) for shape in shapes]


def operations(program: fx.GraphModule) -> list[str]:
    program.graph.eliminate_dead_code()
    idle = "detach", "lift_fresh"
    names = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    return [name for name in names if not any(each in name for each in idle)]


@pytest.mark.parametrize("case", CASES)
def test_program_computes_the_function_from_other_inputs(case: str) -> None:
    function, shapes = CASES[case]
    program = taped(function, inputs(shapes, 0))
    theirs, ours = inputs(shapes, 1), inputs(shapes, 1)
    for expected, found in zip(function(*theirs), program(*ours), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    for expected, found in zip(theirs, ours, strict=True):  # what is changed in place
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("case", CASES)
def test_program_is_that_of_make_fx(case: str) -> None:
    function, shapes = CASES[case]
    program = taped(function, inputs(shapes, 0))
    assert operations(program) == operations(make_fx(function)(*inputs(shapes, 0)))


@pytest.mark.parametrize("case", CASES)
def test_nodes_tell_what_their_results_are(case: str) -> None:
    function, shapes = CASES[case]
    program = taped(function, inputs(shapes, 0))

    class Compare(fx.Interpreter):
        compared = 0

        def run_node(self, n: fx.Node) -> object:
            result = super().run_node(n)
            if isinstance(result, Tensor):
                told = n.meta["val"]
                assert (told.shape, told.stride()) == (result.shape, result.stride())
                assert told.dtype == result.dtype
                Compare.compared += 1
            return result

    Compare(program).run(*inputs(shapes, 0))
    assert Compare.compared > len(shapes)


@pytest.mark.parametrize("number", [torch.sum, lambda x: torch.var_mean(x)[1]])
def test_function_that_decides_by_its_inputs_is_refused(
    number: Callable[[Tensor], Tensor],
) -> None:
    def by_the_data(x: Tensor) -> list[Tensor]:
        return [x if number(x) > 0 else -x]

    with pytest.raises(RuntimeError, match="data-dependent control flow"):
        taped(by_the_data, [torch.ones(3)])


def test_function_may_decide_by_constants() -> None:
    def by_a_constant(x: Tensor) -> list[Tensor]:
        return [x * WEIGHTS[2].item()]

    program = taped(by_a_constant, [torch.ones(3)])
    torch.testing.assert_close(program(torch.full((3,), 5.0)), (torch.full((3,), 5.0),))
