"""Realistic tables of a study that never ran, and a real browser to look at pages in.

The study has five variants, ten seeds and two hidden layers.
"""

import shutil
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from normwise.report import StudyTables, study_page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOWEST_CONTRAST = """() => {
  const rgba = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => v / 255).map(
      (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  let worst = [99, ""];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || element.matches("script, style")) continue;
    const style = getComputedStyle(element);
    const [a, b] = [
      light(rgba(element.matches("text") ? style.fill : style.color)), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < worst[0]) worst = [contrast, element.textContent];
  }
  return worst;
}"""
VARIANTS = ("plain", "batch", "layer", "dropout=0.2", "batch+dropout=0.2")
FINAL = (0.931, 0.968, 0.959, 0.928, 0.962)
SPEED = (160.0, 55.0, 75.0, 190.0, 70.0)
VERDICTS = ("baseline", "better", "better", "undecided", "better")
BUDGET, EVERY, TARGET = 1140, 38, 0.95
MOMENTS = (0, 38, 190, 570, 1140)


def make_curves(variants=VARIANTS, seeds=10, metric="acc") -> pd.DataFrame:
    random = np.random.default_rng(7)
    rows = []
    for place, variant in enumerate(variants):
        final, speed = FINAL[place % 5], SPEED[place % 5]
        for seed in range(seeds):
            height, pace = final + random.normal(0, 0.006), speed * random.lognormal(0, 0.08)
            for step in range(0, BUDGET + 1, EVERY):
                learnt = 1 - np.exp(-step / pace)
                value = 0.1 + (height - 0.1) * learnt + random.normal(0, 0.004)
                loss = 2.3 * np.exp(-step / pace / 1.6) + 0.09 * speed / 100
                rows.append(
                    {
                        "variant": variant,
                        "seed": seed,
                        "step": step,
                        "epoch": step / 38,
                        "train_loss": np.nan if step == 0 else loss * random.lognormal(0, 0.05),
                        "val_loss": loss * 1.2,
                        f"val_{metric}": min(value, 1.0),
                    }
                )
    return pd.DataFrame(rows)


def make_summary(variants=VARIANTS, seeds=10) -> pd.DataFrame:
    rows = []
    for place, variant in enumerate(variants):
        final, speed = FINAL[place % 5], SPEED[place % 5]
        base = place == 0
        gain = final - FINAL[0]
        rows.append(
            {
                "variant": variant,
                "runs": seeds,
                "diverged": 0,
                "estimate": final,
                "low": final - 0.0061,
                "high": final + 0.0052,
                "difference": np.nan if base else gain,
                "difference_low": np.nan if base else gain - 0.0072,
                "difference_high": np.nan if base else gain + 0.0068,
                "p": np.nan if base else 0.0078 if gain > 0 else 0.3125,
                "verdict": VERDICTS[place % 5],
                "train_loss": 0.09 * speed / 100 + 0.0034,
                "train_loss_wins": np.nan if base else seeds if gain > 0 else seeds // 3,
                "pairs": np.nan if base else seeds,
                "success": 1.0 if gain > 0 else 0.4 if base else 0.2,
                "steps_to_target": speed * 5 if gain > 0 else np.nan,
                "steps_difference": np.nan if base else (speed - SPEED[0]) * 6,
                "steps_low": np.nan if base else (speed - SPEED[0]) * 6 - 40,
                "steps_high": np.nan if base else (speed - SPEED[0]) * 6 + 40,
                "steps_p": np.nan if base else 0.0078 if gain > 0 else 0.11,
                "steps_verdict": VERDICTS[place % 5],
                "seconds": 1.234 + 0.2 * place,
            }
        )
    return pd.DataFrame(rows)


def make_reached(variants=VARIANTS) -> pd.DataFrame:
    rows = []
    for place, variant in enumerate(variants):
        arrive = FINAL[place % 5] > 0.95
        for k in range(1, 11 if arrive else 5 if place == 0 else 3):
            share = k / 10
            rows.append(
                {
                    "variant": variant,
                    "step": int(SPEED[place % 5] * (3.5 + 0.35 * k) // EVERY * EVERY),
                    "share": share,
                    "low": max(0.0, share - 0.22 * (1 - share) - 0.05),
                    "high": min(1.0, share + 0.25 * (1 - share)),
                }
            )
    frame = pd.DataFrame(rows)
    return frame.groupby(["variant", "step"], sort=False).last().reset_index()


def make_inside(variants=VARIANTS, layers=("1", "3")) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows, bins = [], []
    for place, variant in enumerate(variants):
        normed = "batch" in variant or "layer" in variant
        for depth, layer in enumerate(layers):
            for moment, step in enumerate(MOMENTS):
                std = 1.0 + 0.05 * moment if normed else 0.6 + 0.55 * moment * (1 + 0.4 * depth)
                mean = 0.0 if normed else -0.35 * moment
                rows.append(
                    {
                        "variant": variant,
                        "layer": layer,
                        "activation": "ReLU",
                        "step": step,
                        "mean": mean,
                        "std": std,
                        "low": mean - 2 * std,
                        "high": mean + 2 * std,
                        "dead": 0.0 if normed else 0.04 * moment * (1 + place % 2),
                        "saturated": np.nan,
                    }
                )
                edges = np.linspace(mean - 4 * std, mean + 4 * std, 41)
                middles = (edges[:-1] + edges[1:]) / 2
                density = np.exp(-0.5 * ((middles - mean) / std) ** 2) / std / np.sqrt(2 * np.pi)
                bins += [
                    {
                        "variant": variant,
                        "layer": layer,
                        "step": step,
                        "left": left,
                        "right": right,
                        "density": height,
                    }
                    for left, right, height in zip(edges[:-1], edges[1:], density, strict=True)
                ]
    return pd.DataFrame(rows), pd.DataFrame(bins)


def make_tables(variants=VARIANTS, seeds=10, layers=("1", "3")) -> StudyTables:
    inside, histograms = make_inside(variants, layers)
    return StudyTables(
        title="digits: 5 variants × 10 seeds",
        verdict="batch trains this network best: test accuracy 0.968, 0.037 above plain "
        "(p = 0.008, 10 seeds).",
        notes=["plain reached the target in only 4 of 10 runs; its median is unknown."],
        facts={
            "data": "digits, 1 797 images 8×8, 10 classes",
            "network": "64–48–24–10, ReLU, 4 522 parameters",
            "epochs": "30",
            "batch size": "64",
            "optimizer": "SGD, learning rate 0.01",
            "evaluated": "every 38 steps (1 epoch)",
            "machine": "2 cores, 8 GB",
            "versions": "normwise 0.1.0, torch 2.13.0",
        },
        metric="accuracy",
        metric_column="acc",
        target=TARGET,
        budget=BUDGET,
        baseline=variants[0],
        summary=make_summary(variants, seeds),
        curves=make_curves(variants, seeds),
        reached=make_reached(variants),
        layers=inside,
        histograms=histograms,
    )


def one_seed() -> StudyTables:
    """One run per variant: differences without a bound, curves without a band."""
    tables = make_tables(seeds=1)
    summary = tables.summary.copy()
    summary[["low", "high"]] = np.nan
    others = summary["verdict"] != "baseline"
    summary.loc[others, ["difference_low", "steps_low"]] = -np.inf
    summary.loc[others, ["difference_high", "steps_high"]] = np.inf
    summary.loc[others, ["p", "steps_p"]] = 1.0
    summary.loc[others, ["verdict", "steps_verdict"]] = "undecided"
    return replace(tables, summary=summary)


def all_diverged() -> StudyTables:
    """Every run turned NaN after a few steps; nothing at the end was measured."""
    tables = make_tables(seeds=3)
    curves = tables.curves.copy()
    curves.loc[curves["step"] > 38, ["train_loss", "val_loss", "val_acc"]] = np.nan
    curves.loc[curves["step"] == 38, "train_loss"] = 1e300
    summary = tables.summary.copy()
    numbers = summary.columns.difference(["variant", "runs", "verdict", "steps_verdict"])
    summary[numbers] = np.nan
    summary["diverged"] = 3
    summary["success"] = 0.0
    summary["verdict"] = ["baseline", *[None] * 4]
    summary["steps_verdict"] = None
    histograms = tables.histograms.copy()
    histograms.loc[histograms["step"] > 0, "density"] = np.nan
    layers = tables.layers.copy()
    layers.loc[layers["step"] > 0, ["mean", "std", "low", "high", "dead"]] = np.nan
    return replace(
        tables,
        summary=summary,
        curves=curves,
        reached=tables.reached.iloc[:0],
        histograms=histograms,
        layers=layers,
    )


def bare() -> StudyTables:
    """No target and no hidden layers."""
    nothing = pd.DataFrame()
    tables = make_tables()
    return replace(tables, target=None, reached=nothing, layers=nothing, histograms=nothing)


def one_variant() -> StudyTables:
    """The baseline alone."""
    return make_tables(variants=("plain",))


def regression() -> StudyTables:
    """R² instead of accuracy, from far below zero."""
    tables = make_tables()
    curves = make_curves(metric="r2")
    curves.loc[curves["step"] == 0, "val_r2"] = -40.0
    return replace(tables, metric="R²", metric_column="r2", curves=curves)


def many() -> StudyTables:
    """More variants than colours, long names, more layers than are shown at once."""
    names = ["plain", *(f"batch:after+dropout=0.{n}+input-dropout=0.1" for n in range(10, 21))]
    tables = make_tables(tuple(names), seeds=2, layers=("0", "2", "4", "6"))
    ends = [MOMENTS[0], MOMENTS[-1]]
    return replace(
        tables,
        layers=tables.layers[tables.layers["step"].isin(ends)],
        histograms=tables.histograms[tables.histograms["step"].isin(ends)],
    )


EDGES = {
    make.__name__: make for make in (one_seed, all_diverged, bare, one_variant, regression, many)
}


@pytest.fixture(scope="session")
def tables() -> StudyTables:
    return make_tables()


@pytest.fixture(scope="session")
def shallow(tables: StudyTables) -> StudyTables:
    """The same study without hidden layers, which take the longest to draw."""
    nothing = pd.DataFrame()
    return replace(tables, layers=nothing, histograms=nothing)


@pytest.fixture(scope="session")
def page(tables: StudyTables) -> str:
    return study_page(tables)


@pytest.fixture(scope="session", params=EDGES)
def edge(request: pytest.FixtureRequest) -> StudyTables:
    return EDGES[request.param]()


@pytest.fixture(scope="session")
def edge_page(edge: StudyTables) -> str:
    return study_page(edge)


@pytest.fixture(scope="session")
def lowest_contrast() -> str:
    """Return a script that finds the text with the lowest contrast, and its contrast."""
    return LOWEST_CONTRAST


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import sync_playwright

    with (
        sync_playwright() as playwright,
        closing(playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)) as browser,
    ):
        yield browser


@pytest.fixture(scope="module")
def address(page, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def visit(browser, address):
    """Open the page; fail on whatever the browser complains about."""
    opened, complaints = [], []

    def open_page(width=1280, scheme="light", script=True):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=script,
        )
        opened.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("requestfailed", lambda request: complaints.append(request.url))
        tab.on("request", lambda request: request.url == address or complaints.append(request.url))
        tab.goto(address)
        return tab

    yield open_page
    for context in opened:
        context.close()
    assert [each for each in complaints if each != "data:,"] == []
