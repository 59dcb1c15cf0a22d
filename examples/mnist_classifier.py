"""Train a classifier of handwritten digits, look at its curves, save it, load it, use it.

MNIST is taken from the folder that NORMWISE_DATA names; without, it is the 8x8 digits.

    python examples/mnist_classifier.py [EPOCHS]
"""

import os
import sys
from pathlib import Path

from torch import nn

import normwise as nw

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
OUT = Path("runs/mnist-classifier")

# The images as they are, pixels from 0 to 1: `fit` standardises them, and so does `predict`.
name = "mnist" if os.environ.get("NORMWISE_DATA") else "digits"
raw = nw.data.load(name, standardize=False)
pixels = raw.test.x[0].numel()


def network() -> nn.Module:
    """Two hidden layers. Batch norm and dropout are not here: they are words, below."""
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(pixels, 48), nn.ReLU()),
        *(nn.Linear(48, 24), nn.ReLU(), nn.Linear(24, 10)),
    )


# Train. The words change the network and the training; nothing else has to be written.
trained = nw.fit(network, name, "batch+dropout=0.1", epochs=EPOCHS, lr=0.1, schedule="cosine")
print(trained.verdict)

# Look at the curves: as a table, as a figure, or as a page for the browser.
print(trained.frame().round(4).to_string(index=False))
trained.save(OUT)
trained.plot().savefig(OUT / "loss.png")

# Load it in another program, and use it on raw images.
again = nw.Trained.load(OUT, network)
images, labels = raw.test.x, raw.test.y.numpy()
predicted = again.predict(images)
print("predicted", *predicted[:12])
print("labels   ", *labels[:12])
print(f"{(predicted == labels).mean():.2%} of {len(labels)} test images are right.")
print(f"The report is {OUT / 'report.html'}.")
