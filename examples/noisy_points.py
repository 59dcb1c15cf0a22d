"""Overfitting, and what dropout does about it: 50 noisy points on the line y = x.

A network of 2 x 100 units can bend through every one of 50 points. Dropout keeps it from doing so.

    python examples/noisy_points.py [EPOCHS]
"""

import sys
from pathlib import Path

import matplotlib
import numpy as np
from torch import nn

import normwise as nw

matplotlib.use("agg")
from matplotlib import pyplot as plt

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
OUT = Path("runs/noisy-points")


def noisy(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return 50 points x from -1 to 1, and y = x + 0.3 times normal noise, as columns."""
    x = np.linspace(-1, 1, 50)[:, None]
    return x, x + 0.3 * np.random.default_rng(seed).normal(size=x.shape)


def network() -> nn.Module:
    """Return a network with far more weights (10 501) than there are points."""
    return nn.Sequential(
        *(nn.Linear(1, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 1)),
    ).double()


x, y = noisy(seed=0)
_, unseen = noisy(seed=1)  # the same points with other noise

# Every point is trained on (val=0): the last weights stay, since there is nothing to select by.
data = nw.data.load((x, y, x, unseen), val=0)

OUT.mkdir(parents=True, exist_ok=True)
figure, axes = plt.subplots()
axes.plot(x, y, "o", label="trained on")
axes.plot(x, x, "--", label="y = x")
print(f"{'':12}{'training error':>16}{'error with other noise':>24}")
for variant in ("plain", "dropout=0.5"):
    trained = nw.fit(network, data, variant, epochs=EPOCHS, lr=0.01, optimizer="adam")
    curve = trained.predict(x)
    error, other = np.mean((curve - y) ** 2), np.mean((curve - unseen) ** 2)
    print(f"{variant:12}{error:16.4f}{other:24.4f}")
    axes.plot(x, curve, label=variant)
axes.legend()
figure.savefig(OUT / "curves.png")
print(f"The noise alone is 0.3² = 0.09. The curves are in {OUT / 'curves.png'}.")
