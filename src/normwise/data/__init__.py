"""Datasets as tensors: train, validation and test, split and standardised alike for every run."""

from normwise.data.augment import Augmentation, Erase, Noise, Rotate, Shift
from normwise.data.dataset import Data, Split, pick_device
from normwise.data.head import Head
from normwise.data.loading import load
from normwise.data.preparing import Preparation
from normwise.data.whiten import Whitening, whiten

__all__ = [
    "Augmentation",
    "Data",
    "Erase",
    "Head",
    "Noise",
    "Preparation",
    "Rotate",
    "Shift",
    "Split",
    "Whitening",
    "load",
    "pick_device",
    "whiten",
]
