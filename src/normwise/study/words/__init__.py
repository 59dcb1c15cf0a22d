"""The words of the variant grammar."""

from normwise.study.words.editing import (
    Act,
    DropConnect,
    Dropout,
    Init,
    InputDropout,
    Norm,
    WeightStandardization,
)
from normwise.study.words.grammar import GRAMMAR, WORDS, parse_options, parse_word
from normwise.study.words.scheduling import Scheduled, Warmup
from normwise.study.words.shrinking import L1, L2, WeightDecay
from normwise.study.words.tuning import Clip, LearningRate, Smooth
from normwise.study.words.word import Word

__all__ = [
    "GRAMMAR",
    "L1",
    "L2",
    "WORDS",
    "Act",
    "Clip",
    "DropConnect",
    "Dropout",
    "Init",
    "InputDropout",
    "LearningRate",
    "Norm",
    "Scheduled",
    "Smooth",
    "Warmup",
    "WeightDecay",
    "WeightStandardization",
    "Word",
    "parse_options",
    "parse_word",
]
