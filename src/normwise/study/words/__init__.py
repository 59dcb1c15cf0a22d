"""The words of the variant grammar."""

from normwise.study.words.augmenting import Augment
from normwise.study.words.editing import (
    Act,
    DropConnect,
    Dropout,
    DropPath,
    Init,
    InputDropout,
    Norm,
    WeightStandardization,
)
from normwise.study.words.grammar import GRAMMAR, WORDS, parse_options, parse_word
from normwise.study.words.scheduling import Scheduled, Warmup
from normwise.study.words.shrinking import L1, L2, WeightDecay
from normwise.study.words.tuning import (
    Accumulate,
    Clip,
    EarlyStop,
    Entropy,
    LearningRate,
    Precision,
    Smooth,
)
from normwise.study.words.word import Word

__all__ = [
    "GRAMMAR",
    "L1",
    "L2",
    "WORDS",
    "Accumulate",
    "Act",
    "Augment",
    "Clip",
    "DropConnect",
    "DropPath",
    "Dropout",
    "EarlyStop",
    "Entropy",
    "Init",
    "InputDropout",
    "LearningRate",
    "Norm",
    "Precision",
    "Scheduled",
    "Smooth",
    "Warmup",
    "WeightDecay",
    "WeightStandardization",
    "Word",
    "parse_options",
    "parse_word",
]
