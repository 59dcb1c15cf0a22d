"""A table of your own: a CSV file, read by pandas, with numbers, categories and gaps.

Put the path of your file in place of `CSV`; what is here makes one to read.

    python examples/own_csv.py [EPOCHS]
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

import normwise as nw

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 40
CSV = Path("runs/own-csv/penguins.csv")


def write_csv() -> None:
    """Make measurements of 400 penguins up."""
    draw = np.random.default_rng(0)
    species = draw.choice(["Adelie", "Chinstrap", "Gentoo"], 400)
    means = pd.DataFrame(
        {"bill": [39.0, 49, 48], "depth": [18.3, 18.4, 15.0], "mass": [3700.0, 3730, 5080]},
        index=["Adelie", "Chinstrap", "Gentoo"],
    )
    table = means.loc[species].reset_index(drop=True)
    table *= 1 + draw.normal(0, 0.06, table.shape)
    table.loc[draw.choice(400, 20, replace=False), "mass"] = np.nan
    table["sex"] = draw.choice(["female", "male"], 400)
    table["species"] = species
    CSV.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(CSV, index=False)


write_csv()
table = pd.read_csv(CSV)

# What a network needs: numbers, and no gaps. Standardising is done by `fit`.
table["mass"] = table["mass"].fillna(table["mass"].median())
features = pd.get_dummies(table.drop(columns="species"), columns=["sex"], dtype=float)
target = table["species"]  # texts make a classification, numbers a regression

network = nn.Sequential(nn.Linear(features.shape[1], 32), nn.ReLU(), nn.Linear(32, 3))
trained = nw.fit(
    *(network, (features, target), "batch"),
    epochs=EPOCHS,
    lr=3e-3,
    optimizer="adam",
    early_stop=10,
)
print(trained.verdict)

# Rows as they come from the file, and the answer in the words of the file.
rows = features.head(5)
print(rows.assign(species=target.head(5), predicted=trained.predict(rows)).to_string(index=False))
