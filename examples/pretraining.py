"""Pretraining with few labels: an autoencoder looks at all images, a classifier at 50 labels.

The encoder learns to describe 1437 images of digits in 32 numbers, well enough to draw them again
without the noise that was added; no label is needed for that. The classifier starts from it.

    python examples/pretraining.py [EPOCHS]
"""

import sys

import numpy as np
from torch import nn

import normwise as nw

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 60
LABELS, SEEDS = 50, 5

# Both networks must see the same pixels, so nothing is standardised: each data set would be by its
# own mean, and that of 50 images is another.
digits = nw.data.load("digits", val=0, standardize=False)
images, labels = digits.train.x.flatten(1) / 16, digits.train.y
test_images, test_labels = digits.test.x.flatten(1) / 16, digits.test.y


class Autoencoder(nn.Sequential):
    """From 64 pixels to 32 numbers and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU())
        self.decoder = nn.Sequential(nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 64))


class Classifier(nn.Sequential):
    """From 64 pixels to 32 numbers, and from these to ten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Autoencoder().encoder  # of the same name: so the weights find their place
        self.head = nn.Linear(32, 10)


# The targets are the images themselves, so this is a regression, and its score is R².
autoencoder = nw.fit(
    Autoencoder,
    nw.data.load((images, images), standardize=False),
    epochs=EPOCHS,
    lr=3e-3,
    optimizer="adam",
    augment="noise:0.5",
)
print(f"The autoencoder: {autoencoder.verdict}")

few = nw.data.load(
    (images[:LABELS], labels[:LABELS], test_images, test_labels), val=0, standardize=False
)
for told, source in (("from scratch", None), ("from the encoder", autoencoder.network)):
    scores = [
        nw.fit(
            *(Classifier, few),
            epochs=EPOCHS,
            batch_size=10,
            lr=1e-3,
            optimizer="adam",
            init_from=source,
            seed=seed,
        ).score
        for seed in range(SEEDS)
    ]
    print(f"{LABELS} labels, {told}: test accuracy {np.mean(scores):.3f} (mean of {SEEDS} seeds)")
