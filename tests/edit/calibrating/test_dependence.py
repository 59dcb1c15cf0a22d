import torch
from torch import nn

from normwise.edit.calibrating import Dependence


class Forward(nn.Module):
    def __init__(self, forward, names: str) -> None:
        super().__init__()
        self._function = forward
        for name in names:
            self.add_module(name, nn.BatchNorm1d(3))

    def forward(self, x):
        return self._function(self, x)


def follow(forward, names: str) -> Dependence:
    net = Forward(forward, names).eval()
    seen = Dependence(net, dict(net.named_children()))
    with torch.no_grad(), seen.hooks(), seen:
        net(torch.randn(4, 3))
    assert not any(m._forward_hooks for m in net.modules())
    return seen


def levels(forward, names: str) -> list[str]:
    return ["".join(sorted(level)) for level in follow(forward, names).levels()]


def test_a_chain_and_branches():
    assert levels(lambda m, x: m.c(m.b(m.a(x).relu())), "abc") == ["a", "b", "c"]
    assert levels(lambda m, x: m.c(m.a(x) + m.b(x)), "abc") == ["ab", "c"]
    assert levels(lambda m, x: [m.a(x), m.b(x), m.c(x)], "abc") == ["abc"]
    assert levels(lambda m, x: m.a(x), "ab") == ["a"]


def test_in_place_and_views():
    def add_in_place(m, x):
        y = m.a(x)
        z = torch.zeros_like(x)
        z += y
        return m.b(z)

    def into_a_view(m, x):
        z = torch.zeros_like(x)
        z[:, :2].add_(m.a(x)[:, :2])
        return m.b(z)

    def by_index(m, x):
        z = torch.zeros_like(x)
        z[:, 0] = m.a(x)[:, 0]
        return m.b(z)

    def out(m, x):
        z = torch.empty_like(x)
        torch.mul(m.a(x), 2, out=z)
        return m.b(z)

    for forward in (add_in_place, into_a_view, by_index, out):
        assert levels(forward, "ab") == ["a", "b"], forward


def test_numbers_and_functions_of_unknown_make_count():
    def by_number(m, x):
        return m.b(x / m.a(x).max().item())

    def by_branch(m, x):
        return m.b(x if m.a(x).sum() > 0 else -x)

    def by_numpy(m, x):
        return m.b(torch.from_numpy(m.a(x).numpy() * 2))

    def by_function(m, x):
        y = m.a(x)
        with torch._C.DisableTorchFunction():  # as in an extension that torch does not see
            y = y * 2
        return m.b(y)

    for forward in (by_number, by_branch, by_numpy, by_function):
        assert levels(forward, "ab") == ["a", "b"], forward


def test_shapes_do_not_count():
    def forward(m, x):
        y = m.a(x)
        return m.b(torch.ones(y.shape) * y.shape[0] + x)

    assert levels(forward, "ab") == ["ab"]


def test_loops_are_measured_together():
    def repeat(m, x):
        for _ in range(2):
            x = m.b(m.a(x))
        return m.c(x)

    seen = follow(repeat, "abc")
    assert seen.levels() == [{"a", "b"}, {"c"}]
    assert seen.circular() == {"a", "b"}
    assert seen.calls == {"a": 2, "b": 2, "c": 1}


def test_reuse_side_by_side_is_no_loop():
    seen = follow(lambda m, x: m.b(m.a(x) + m.a(x * 2)), "ab")
    assert seen.levels() == [{"a"}, {"b"}]
    assert seen.circular() == set()
    assert seen.calls["a"] == 2
