"""Datasets as tensors: train, validation and test, split and standardised alike for every run."""

from normwise.data.augment import Augmentation, Erase, Noise, Rotate, Shift
from normwise.data.dataset import Data, pick_device
from normwise.data.head import Head
from normwise.data.loading import load
from normwise.data.memory import Memory, read_memory
from normwise.data.preparing import Preparation
from normwise.data.split import Split
from normwise.data.streamed import Streamed
from normwise.data.whiten import Whitening, whiten

__all__ = [
    "Augmentation",
    "Data",
    "Erase",
    "Head",
    "Memory",
    "Noise",
    "Preparation",
    "Rotate",
    "Shift",
    "Split",
    "Streamed",
    "Whitening",
    "load",
    "pick_device",
    "read_memory",
    "whiten",
]
