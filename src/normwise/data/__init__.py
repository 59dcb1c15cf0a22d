"""Datasets as tensors: train, validation and test, split and standardised alike for every run."""

from normwise.data.dataset import Data, Head, Split
from normwise.data.loading import load
from normwise.data.whiten import Whitening, whiten

__all__ = ["Data", "Head", "Split", "Whitening", "load", "whiten"]
