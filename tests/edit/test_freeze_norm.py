import copy
import pickle

import pytest
import torch
from torch import nn

from normwise.edit import edits, freeze_norm, recalibrate, unfreeze_norm
from normwise.errors import UsageError

RANKS = {
    1: (nn.Conv1d, nn.BatchNorm1d, nn.InstanceNorm1d),
    2: (nn.Conv2d, nn.BatchNorm2d, nn.InstanceNorm2d),
    3: (nn.Conv3d, nn.BatchNorm3d, nn.InstanceNorm3d),
}


def network(rank: int) -> tuple[nn.Sequential, torch.Tensor]:
    torch.manual_seed(0)
    conv, batch, instance = RANKS[rank]
    net = nn.Sequential(
        *(conv(3, 4, 1), batch(4), nn.ReLU(), conv(4, 4, 1)),
        *(instance(4, affine=True, track_running_stats=True), nn.ReLU(), nn.GroupNorm(2, 4)),
    ).double()
    x = torch.randn(5, 3, *[3] * rank, dtype=torch.float64)
    for _ in range(3):
        net(x)
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    return net, x


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_survives_train(rank):
    net, x = network(rank)
    expected = net.eval()(x)
    statistics = {name: b.clone() for name, b in net.named_buffers()}
    assert freeze_norm(net.train()) is net
    for _ in range(2):
        assert torch.equal(net.train()(x), expected)
    assert all(torch.equal(b, statistics[name]) for name, b in net.named_buffers())
    assert [m.training for m in net] == [True, False, True, True, False, True, False]


def test_a_step_moves_all_but_the_norms():
    net, x = network(2)
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
    net(x).sum().backward()
    optimizer.step()  # momentum and old gradients must not move what is frozen
    freeze_norm(net)
    before = copy.deepcopy(net.state_dict())
    net.train()(x).sum().backward()
    optimizer.step()
    still = {name for name, t in net.state_dict().items() if torch.equal(t, before[name])}
    assert {name.split(".")[0] for name in before.keys() - still} == {"0", "3"}


def test_affine_false_lets_scale_and_shift_learn():
    net, x = network(1)
    freeze_norm(net, affine=False)
    net.train()(x).sum().backward()
    assert net[1].weight.grad is not None
    assert not net[1].training
    assert type(net[6]) is nn.GroupNorm  # nothing to freeze in it
    freeze_norm(net)
    assert not net[1].weight.requires_grad
    assert type(net[6]).__name__ == "FrozenGroupNorm"


def test_unfreezing_is_the_way_back():
    net, x = network(3)
    net[1].bias.requires_grad_(False)
    twin = copy.deepcopy(net)
    unfreeze_norm(freeze_norm(freeze_norm(net)))
    assert [type(m) for m in net] == [type(m) for m in twin]
    assert [sorted(vars(m)) for m in net] == [sorted(vars(m)) for m in twin]
    assert [p.requires_grad for p in net.parameters()] == [
        p.requires_grad for p in twin.parameters()
    ]
    assert torch.equal(net(x), twin(x))
    assert torch.equal(net[1].running_mean, twin[1].running_mean)
    unfreeze_norm(freeze_norm(net.eval()))
    assert not net[1].training


def test_stays_itself_for_its_users():
    net, x = network(2)
    norm, hooked = net[1], []
    norm.register_forward_hook(lambda m, i, o: hooked.append(o))
    names = list(net.state_dict())
    freeze_norm(net, where="1")
    assert net[1] is norm
    assert isinstance(norm, nn.BatchNorm2d)
    assert list(net.state_dict()) == names
    net(x)
    assert len(hooked) == 1
    assert net[4].training
    torch.testing.assert_close(torch.fx.symbolic_trace(net)(x), net(x))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_a_copy_is_frozen_too(copied):
    net, x = network(2)
    twin = copied(freeze_norm(net)).train()
    assert torch.equal(twin(x), net.eval()(x))
    assert type(twin[1]) is type(net[1])
    unfreeze_norm(twin)
    assert type(twin[1]) is nn.BatchNorm2d
    assert type(net[1]) is not nn.BatchNorm2d


def test_the_record():
    net, _ = network(2)
    unfreeze_norm(freeze_norm(net, where=lambda path, m: isinstance(m, nn.BatchNorm2d)))
    assert [(edit.edit, edit.path, edit.done) for edit in edits(net)] == [
        ("freeze_norm", "1", "BatchNorm2d(4): running statistics, weight, bias frozen"),
        ("unfreeze_norm", "1", "BatchNorm2d(4): no longer frozen"),
    ]


@pytest.mark.parametrize(
    ("net", "options", "text"),
    [
        (nn.Linear(2, 2), {}, "no norm that is a module"),
        (
            nn.BatchNorm1d(2, track_running_stats=False),
            {},
            "it is a BatchNorm1d.2. without running",
        ),
        (nn.Sequential(nn.LazyBatchNorm1d()), {}, "0 is lazy"),
        (nn.InstanceNorm1d(2), {}, "nothing to freeze: no norm chosen has running statistics, sca"),
        (nn.LayerNorm(2), {"affine": False}, "affine=False leaves the rest free"),
        (nn.BatchNorm1d(2), {"where": "norm*"}, "where='norm[*]' matches no norm: there are "),
    ],
)
def test_refusals(net, options, text):
    kinds = [type(m) for m in net.modules()]
    with pytest.raises(UsageError, match=text):
        freeze_norm(net, **options)
    assert [type(m) for m in net.modules()] == kinds


def test_nothing_to_unfreeze():
    with pytest.raises(UsageError, match="no norm of this network is frozen"):
        unfreeze_norm(nn.BatchNorm1d(2))


def test_recalibrated_then_frozen():
    net, x = network(2)
    freeze_norm(recalibrate(net, [x]))
    torch.testing.assert_close(net[1].running_mean, net[0](x).mean((0, 2, 3)))
