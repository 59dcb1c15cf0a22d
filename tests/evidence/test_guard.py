"""What fails in normwise stays in normwise, and its time is known."""

import torch
from torch import nn

from normwise.evidence import guard as guards
from normwise.evidence.guard import Guard


def test_time_is_added_up(monkeypatch):
    clock = iter([1.0, 3.0, 10.0, 10.5])
    monkeypatch.setattr(guards, "perf_counter", lambda: next(clock))
    guard = Guard()
    guard(lambda: None)()
    guard(lambda: 1 / 0)()
    assert guard.seconds == 2.5
    assert guard(lambda: 1)() is None  # which takes no time, after a fault
    assert guard.seconds == 2.5


def test_hooks_are_not_compiled():
    guard = Guard()
    seen = []
    net = nn.Linear(2, 2)
    net.register_forward_pre_hook(guard(lambda *_: seen.append(1)))
    torch.compile(net, backend="eager", fullgraph=True)(torch.ones(1, 2))
    torch._dynamo.reset()
    assert not seen
