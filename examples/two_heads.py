"""One network with two heads: which digit an image shows, and how much ink it has.

Targets are a dict, and so is what the network returns. Every head gets the loss of its kind (here
cross-entropy and mean squared error), and the training minimises their weighted sum.

    python examples/two_heads.py [EPOCHS]
"""

import sys

import torch
from torch import Tensor, nn

import normwise as nw

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 20

digits = nw.data.load("digits", standardize=False)
images = torch.cat([digits.train.x, digits.val.x, digits.test.x])
labels = torch.cat([digits.train.y, digits.val.y, digits.test.y])
ink = images.flatten(1).mean(1, keepdim=True)


class TwoHeads(nn.Module):
    """A body that both heads share."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU())
        self.digit, self.ink = nn.Linear(64, 10), nn.Linear(64, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the outputs by the names of the targets."""
        body = self.body(x)
        return {"digit": self.digit(body), "ink": self.ink(body)}


trained = nw.fit(
    TwoHeads,
    (images, {"digit": labels, "ink": ink}),
    epochs=EPOCHS,
    lr=3e-3,
    optimizer="adam",
    loss_weights={"ink": 0.5},  # the squared error of ink is the larger loss at first
)
print(trained.verdict)
print(trained.frame().iloc[[0, -1]].round(4).to_string(index=False))  # a score for each head

predicted = trained.predict(images[:5])  # a dict again
for digit, amount, label, true in zip(
    predicted["digit"], predicted["ink"], labels[:5], ink[:5], strict=True
):
    print(f"digit {digit} ({label}), ink {amount.item():.3f} ({true.item():.3f})")
