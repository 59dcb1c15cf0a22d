import copy
import pickle

import pytest
import torch
from torch import nn

from normwise.errors import UsageError
from normwise.layers import drop_connect, standardize_weight
from normwise.layers.weight_hooks import transform_weights


class Double(nn.Module):
    def forward(self, weight):
        return 2 * weight


def test_hidden_during_the_forward_alone():
    layer = nn.Linear(3, 2)
    own = layer.weight
    transform_weights(layer, "twice", Double(), ["weight", "bias"])
    x = torch.randn(4, 3)
    torch.testing.assert_close(layer(x), 2 * nn.functional.linear(x, own, layer.bias))
    assert layer.weight is own
    assert dict(layer.named_parameters()).keys() == {"weight", "bias"}
    assert sorted(layer.state_dict()) == ["bias", "weight"]


def test_the_parameter_comes_back_when_the_forward_fails():
    layer = nn.Linear(3, 2)
    own = layer.weight
    transform_weights(layer, "twice", Double(), ["weight"])
    with pytest.raises(RuntimeError):
        layer(torch.randn(4, 5))
    assert layer.weight is own


def test_transforms_follow_one_another():
    layer = nn.Linear(3, 2, bias=False)
    own = layer.weight
    transform_weights(layer, "clip", nn.Hardtanh(), ["weight"])
    transform_weights(layer, "twice", Double(), ["weight"])
    with torch.no_grad():
        own.fill_(9.0)
    assert layer(torch.ones(1, 3)).tolist() == [[6.0, 6.0]]
    assert layer.weight is own
    assert layer(torch.ones(1, 3)).tolist() == [[6.0, 6.0]]


def test_other_hooks_see_the_parameter():
    layer = nn.Linear(3, 2)
    seen = []
    layer.register_forward_hook(lambda module, inputs, output: seen.append(module.weight))
    transform_weights(layer, "twice", Double(), ["weight"])
    layer(torch.ones(1, 3))
    assert seen[0] is layer.weight


def test_what_takes_the_transforms_place_counts():
    layer = drop_connect(nn.Linear(3, 2), 0.9)
    layer.drop_connect = nn.Identity()
    x = torch.randn(4, 3)
    assert torch.equal(layer(x), nn.functional.linear(x, layer.weight, layer.bias))


def test_a_functional_call_reaches_the_transform():
    layer = nn.Linear(3, 2, bias=False)
    transform_weights(layer, "twice", Double(), ["weight"])
    weight = torch.randn(2, 3)
    x = torch.randn(4, 3)
    found = torch.func.functional_call(layer, {"weight": weight}, (x,))
    torch.testing.assert_close(found, 2 * x @ weight.T)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_use_the_new_weights(kind: type[nn.RNNBase]):
    torch.manual_seed(0)
    layer = kind(3, 4, num_layers=2, bidirectional=True)
    plain = copy.deepcopy(layer)
    names = [name for name, _ in layer.named_parameters() if name.startswith("weight_hh")]
    with torch.no_grad():
        for name in names:
            plain.get_parameter(name).mul_(2)
    state = {name: value.clone() for name, value in layer.state_dict().items()}
    transform_weights(layer, "twice", Double(), names)
    x = torch.randn(5, 2, 3)
    expected = plain(x)[0]
    for twin in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin(x)[0], expected)
        # The layer's own list is its parameters again, for flatten_parameters and the optimizer.
        own = [twin.get_parameter(name) for name in twin._flat_weights_names]
        assert all(a is b for a, b in zip(twin._flat_weights, own, strict=True))
        assert not twin._weights_have_changed()
    gradients = []
    for net in (layer, plain):
        net(x)[0].square().sum().backward()
        gradients.append({name: p.grad for name, p in net.named_parameters()})
    for name in gradients[0]:
        factor = 2 if name in names else 1
        torch.testing.assert_close(gradients[0][name], factor * gradients[1][name])
    assert layer.state_dict().keys() == state.keys()
    weights = {name: torch.randn_like(value) for name, value in state.items()}
    doubled = {name: value * (2 if name in names else 1) for name, value in weights.items()}
    torch.testing.assert_close(
        torch.func.functional_call(layer, weights, (x,))[0],
        torch.func.functional_call(plain, doubled, (x,))[0],
    )


def test_recurrent_layers_do_not_gather_their_weights_anew(monkeypatch: pytest.MonkeyPatch):
    layer = drop_connect(nn.LSTM(3, 4), 0.5)
    packed = []
    monkeypatch.setattr(nn.RNNBase, "_init_flat_weights", lambda self: packed.append("all"))
    monkeypatch.setattr(
        nn.RNNBase, "flatten_parameters", lambda self: packed.append(list(self._flat_weights))
    )
    x = torch.randn(5, 2, 3)
    layer(x)
    [weights] = packed  # moved into one piece of memory: the dropped weight, once
    assert weights[1] is not layer.weight_hh_l0
    layer.eval()(x)
    assert len(packed) == 1  # the parameters themselves stay where they are


def test_nothing_but_two_hooks_and_a_child_is_added():
    layer = nn.Linear(3, 2)
    before = set(vars(layer))
    standardize_weight(layer)
    layer(torch.ones(2, 3))
    assert set(vars(layer)) == before
    assert list(layer._modules) == ["weight_standardization"]


def test_mistakes():
    with pytest.raises(UsageError) as caught:
        drop_connect(nn.GRU(2, 3), weights=["weight_hh_l1", "nothing"])
    assert caught.value.problems == (
        "GRU has no parameter 'weight_hh_l1' of its own (did you mean 'weight_hh_l0'?)",
        "GRU has no parameter 'nothing' of its own: it has weight_ih_l0, weight_hh_l0, "
        "bias_ih_l0, bias_hh_l0",
    )
    with pytest.raises(UsageError, match="ReLU has no parameter 'weight' of its own: it has none"):
        drop_connect(nn.ReLU())
    with pytest.raises(UsageError, match="Linear has a 'drop_connect' already"):
        drop_connect(drop_connect(nn.Linear(2, 2)))
    with pytest.raises(UsageError, match="no weights of Linear are named"):
        drop_connect(nn.Linear(2, 2), weights=[])
