import pytest
import torch
from torch import nn

from normwise import layers
from normwise.layers import DROPOUTS, evaluation_factor, is_dropout

TORCHS = [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout]


@pytest.mark.parametrize("kind", [*TORCHS, nn.FeatureAlphaDropout])
def test_torchs_are_known(kind: type[nn.Module]):
    assert is_dropout(kind())
    assert evaluation_factor(kind(0.3)) == 1


def test_every_dropout_of_this_room_is_known():
    rooms = [getattr(layers, name) for name in layers.__all__]
    ours = [kind for kind in rooms if isinstance(kind, type) and issubclass(kind, nn.Module)]
    named = {kind.__name__ for kind in ours if issubclass(kind, DROPOUTS)}
    assert named == {
        *("ConcreteDropout", "DropBlock2d", "DropConnect", "Dropout", "GaussianDropout"),
        *("LockedDropout", "StochasticDepth", "Uout"),
    }


def test_others_are_not():
    for module in (nn.Identity(), nn.BatchNorm1d(2), layers.DynamicTanh(2), nn.RReLU()):
        assert not is_dropout(module)


@pytest.mark.parametrize("kind", [layers.Dropout, layers.LockedDropout, layers.StochasticDepth])
def test_the_factor_is_what_evaluation_multiplies_by(kind: type[nn.Module]):
    x = torch.ones(2, 3, 4)
    for layer in (kind(0.3), kind(0.3, scaling="classic")):
        assert torch.equal(layer.eval()(x), x * evaluation_factor(layer))
