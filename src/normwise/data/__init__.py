"""Datasets as tensors: train, validation and test, split and standardised alike for every run."""

from normwise.data.augment import Augmentation, Erase, Noise, Rotate, Shift
from normwise.data.dataset import Data, Head, Split
from normwise.data.loading import load
from normwise.data.whiten import Whitening, whiten

__all__ = [
    "Augmentation",
    "Data",
    "Erase",
    "Head",
    "Noise",
    "Rotate",
    "Shift",
    "Split",
    "Whitening",
    "load",
    "whiten",
]
