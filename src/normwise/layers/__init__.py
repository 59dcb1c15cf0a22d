"""Modules that torch.nn lacks. `is_dropout` knows every dropout, torch's among them."""

from normwise.layers import functional
from normwise.layers.batch_norm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from normwise.layers.channels_last import ChannelsLast
from normwise.layers.concrete_dropout import ConcreteDropout
from normwise.layers.drop_block import DropBlock2d
from normwise.layers.drop_connect import DropConnect, drop_connect
from normwise.layers.dropout import Dropout
from normwise.layers.dropout_schedule import DropoutSchedule
from normwise.layers.dropouts import DROPOUTS, evaluation_factor, is_dropout
from normwise.layers.dynamic_tanh import DynamicTanh
from normwise.layers.filter_response_norm import FilterResponseNorm
from normwise.layers.gaussian_dropout import GaussianDropout
from normwise.layers.locked_dropout import LockedDropout
from normwise.layers.ramp import Ramp
from normwise.layers.stochastic_depth import StochasticDepth
from normwise.layers.uout import Uout
from normwise.layers.weight_standardization import WeightStandardization, standardize_weight
from normwise.layers.whiten_norm import WhitenNorm1d, WhitenNorm2d

__all__ = [
    "DROPOUTS",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "ChannelsLast",
    "ConcreteDropout",
    "DropBlock2d",
    "DropConnect",
    "Dropout",
    "DropoutSchedule",
    "DynamicTanh",
    "FilterResponseNorm",
    "GaussianDropout",
    "LockedDropout",
    "Ramp",
    "StochasticDepth",
    "Uout",
    "WeightStandardization",
    "WhitenNorm1d",
    "WhitenNorm2d",
    "drop_connect",
    "evaluation_factor",
    "functional",
    "is_dropout",
    "standardize_weight",
]
