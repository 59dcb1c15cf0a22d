import pytest
import torch
from torch import nn

from normwise.errors import UsageError
from normwise.layers import ConcreteDropout, DropBlock2d, DropoutSchedule, drop_connect


def net() -> nn.Sequential:
    return nn.Sequential(
        drop_connect(nn.Linear(2, 2)), nn.Dropout(0.9), DropBlock2d(), ConcreteDropout(0.2)
    )


def test_every_dropout_follows():
    network = net()
    schedule = DropoutSchedule(network, lambda step: step / 10)
    found = []
    for _ in range(4):
        found.append([network[0].drop_connect.p, network[1].p, network[2].p])
        schedule.step()
    assert found == [[step / 10] * 3 for step in range(4)]
    assert network[3].p.item() == pytest.approx(0.2)


def test_the_new_p_is_what_is_dropped():
    dropout = nn.Dropout(0.0)
    schedule = DropoutSchedule(dropout, lambda step: 0.5 * step)
    assert dropout(torch.ones(100)).all()
    schedule.step()
    assert set(dropout(torch.ones(100)).tolist()) == {0.0, 2.0}


def test_goes_on_from_a_checkpoint():
    first = DropoutSchedule(net(), lambda step: 0.1 * step)
    first.step()
    first.step()
    network = net()
    second = DropoutSchedule(network, lambda step: 0.1 * step)
    second.load_state_dict(first.state_dict())
    assert network[1].p == 0.2
    second.step()
    assert network[1].p == pytest.approx(0.3)


def test_mistakes():
    with pytest.raises(UsageError, match="this Linear has no dropout whose p could follow"):
        DropoutSchedule(nn.Linear(2, 2), lambda step: 0.1)
    with pytest.raises(UsageError, match=r"gives p=-0\.1 at step 0"):
        DropoutSchedule(net(), lambda step: -0.1)
    network = net()
    schedule = DropoutSchedule(network, lambda step: 0.6 * step)
    schedule.step()
    with pytest.raises(UsageError, match=r"gives p=1.2 at step 2: not in \[0, 1\]"):
        schedule.step()
    assert network[1].p == 0.6
