"""The default cross-entropy of many runs; others stay torch's."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LABELS = torch.tensor([[0, 1, 2, 2, 0], [1, 1, 0, 2, 0], [2, 1, 2, 0, 1]])


def test_cross_entropy(agree: Any, draw: Any):
    logits = draw(3, 5, 3)
    agree(F.cross_entropy, logits, LABELS)
    agree(F.cross_entropy, logits, LABELS[0], dims=(0, None))
    agree(F.cross_entropy, logits[0], LABELS, dims=(None, 0))
    agree(F.cross_entropy, logits.movedim(0, 2), LABELS.T, dims=(2, 1))
    agree(F.cross_entropy, 1e4 * logits, LABELS)


def test_options_are_torchs(agree: Any, draw: Any):
    for options in ({"label_smoothing": 0.1}, {"reduction": "sum"}, {"ignore_index": 0}):
        agree(lambda x, y, options=options: F.cross_entropy(x, y, **options), draw(3, 5, 3), LABELS)
    agree(F.cross_entropy, draw(3, 5, 3), draw(3, 5, 3).softmax(-1))
    weight = draw(3).abs()
    agree(lambda x, y: F.cross_entropy(x, y, weight), draw(3, 5, 3), LABELS)
    agree(F.cross_entropy, draw(3, 5, 3, 2), torch.stack([LABELS, LABELS.flip(1)], -1))


def test_nothing_of_any_run(agree: Any, draw: Any):
    logits = draw(5, 3)

    def function(x: Tensor) -> Tensor:
        return x.sum() * F.cross_entropy(logits, LABELS[0])

    agree(function, draw(3, 2))
