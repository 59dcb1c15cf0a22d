import torch
from torch import nn

from normwise.edit.hosting import dismiss, guests, host_after, host_before
from normwise.edit.swapping import swap

X = torch.randn(3, 4)


def test_hooks_stay_and_can_still_be_removed():
    former, successor, seen = nn.ReLU(), nn.Tanh(), []
    net = nn.Sequential(nn.Linear(4, 4), former)
    forward = former.register_forward_hook(lambda m, i, o: seen.append("forward"))
    backward = former.register_full_backward_hook(lambda m, i, o: seen.append("backward"))
    former.register_forward_pre_hook(lambda m, a, k: seen.append("pre"), with_kwargs=True)
    swap(net, former, successor)
    net(X).sum().backward()
    assert seen == ["pre", "forward", "backward"]
    forward.remove()
    backward.remove()
    net(X).sum().backward()
    assert seen[3:] == ["pre"]


def test_a_guest_keeps_its_own_mode():
    former, guest = nn.ReLU(), nn.Dropout(0.5)
    net = nn.Sequential(former)
    host_after(former, "dropout", guest)
    guest.eval()
    swap(net, former, nn.Tanh())
    assert net[0].dropout is guest
    assert not guest.training


def test_a_dismissed_guest_leaves_no_trace():
    host = nn.Linear(4, 4)
    names = set(vars(host))
    host_before(host, "first", nn.Identity())
    host_after(host, "last", nn.Tanh())
    assert list(guests(host)) == ["first", "last"]
    dismiss(host, "last")
    assert list(guests(host)) == ["first"]
    dismiss(host, "first")
    assert not host._forward_hooks
    assert not host._forward_pre_hooks
    assert not host._modules
    assert set(vars(host)) == names
