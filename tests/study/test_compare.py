"""`compare` against a training loop written by hand, and the pairing of its runs."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import r2_score
from torch import Tensor, nn

import normwise as nw
from normwise.data import Data
from normwise.stack import Order, derive

EPOCHS, BATCH, EVERY = 4, 16, 7
ALONE = {"stack": 1, "workers": 1}


def mlp(outputs: int, kind: torch.dtype = torch.float32, dropout: float = 0.0):
    def make() -> nn.Module:
        return nn.Sequential(
            *(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(dropout)),
            nn.Linear(8, outputs),
        ).to(kind)

    return make


def binary(output: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output.squeeze(1), y.float())


def mse(output: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(output, y.view_as(output))


def focal(output: Tensor, y: Tensor) -> Tensor:
    """A loss of the user's own."""
    p = output.log_softmax(1)[torch.arange(len(y)), y]
    return (-((1 - p.exp()) ** 2) * p).mean()


SGD, Adam, AdamW = torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW
MOMENTUM = {"lr": 0.1, "momentum": 0.9}
CASES = {
    "sgd": ("classes", mlp(3), F.cross_entropy, SGD, {"lr": 0.3}, {}),
    "momentum": ("classes", mlp(3), F.cross_entropy, SGD, MOMENTUM, {}),
    "nesterov": ("classes", mlp(3), F.cross_entropy, SGD, {**MOMENTUM, "nesterov": True}, {}),
    "decay": ("classes", mlp(3), F.cross_entropy, SGD, {"lr": 0.3, "weight_decay": 0.1}, {}),
    "adam": ("classes", mlp(3), F.cross_entropy, Adam, {"lr": 0.02}, {}),
    "adam decay": ("classes", mlp(3), F.cross_entropy, Adam, {"lr": 0.02, "weight_decay": 0.1}, {}),
    "adamw": ("classes", mlp(3), F.cross_entropy, AdamW, {"lr": 0.02}, {}),
    "adamw decay": ("classes", mlp(3), F.cross_entropy, AdamW, {"lr": 0.02, "weight_decay": 1}, {}),
    "dropout": ("classes", mlp(3, dropout=0.5), F.cross_entropy, Adam, {"lr": 0.02}, {}),
    "own loss": ("classes", mlp(3), focal, Adam, {"lr": 0.02}, {"loss": focal}),
    "single logit": ("binary", mlp(1), binary, Adam, {"lr": 0.02}, {}),
    "two logits": ("binary", mlp(2), F.cross_entropy, Adam, {"lr": 0.02}, {}),
    "regression": ("regression", mlp(1), mse, Adam, {"lr": 0.02}, {}),
    "outputs": ("outputs", mlp(2), mse, Adam, {"lr": 0.02}, {}),
    "named loss": (
        *("outputs", mlp(2), F.huber_loss, SGD, {"lr": 0.3}),
        {"loss": "huber_loss"},
    ),
    "float64": ("outputs", mlp(2, torch.float64), mse, SGD, {"lr": 0.3}, {}),
}


def by_hand(data: Data, make, loss_of, optimizer, settings: dict, seed: int) -> dict[str, list]:
    """Train as anybody would, and note what the study notes."""
    kind = next(make().parameters()).dtype
    (x, y), (val_x, val_y), (test_x, _) = [
        (split.x.to(kind), split.y.to(kind) if split.y.is_floating_point() else split.y)
        for split in (data.train, data.val, data.test)
    ]
    torch.manual_seed(seed)
    network = make()
    steps = optimizer(network.parameters(), fused=True, **settings)
    order = Order(len(x), BATCH, seed)
    torch.manual_seed(derive(seed, "dropout"))
    noted = {"step": [], "train_loss": [], "val_loss": [], "predictions": []}
    losses: list[float] = []

    def evaluate(step: int) -> None:
        network.eval()
        with torch.no_grad():
            output = network(val_x)
            noted["val_loss"].append(loss_of(output, val_y).item() * len(val_y) / len(val_y))
        network.train()
        noted["step"].append(step)
        noted["train_loss"].append(np.mean(losses) if losses else np.nan)
        noted["predictions"].append(output)
        losses.clear()

    evaluate(0)
    step, last = 0, EPOCHS * (len(x) // BATCH)
    for _ in range(EPOCHS):
        for batch in order.next_epoch():
            loss = loss_of(network(x[batch]), y[batch])
            steps.zero_grad()
            loss.backward()
            steps.step()
            losses.append(loss.item())
            step += 1
            if step % EVERY == 0 or step == last:
                evaluate(step)
    with torch.no_grad():
        network.eval()
        noted["test"] = [network(test_x)]
    return noted


def metric(output: Tensor, y: Tensor) -> float:
    if y.is_floating_point():
        return r2_score(y.double().numpy(), output.double().view_as(y).numpy())
    guess = output.argmax(1) if output.shape[1] > 1 else (output[:, 0] > 0).long()
    return (guess == y).double().mean().item()


@pytest.mark.parametrize("case", CASES)
def test_a_run_is_what_a_loop_by_hand_gives(case: str, data: Callable[..., Data]):
    task, make, loss_of, optimizer, settings, asked = CASES[case]
    loaded = data(task)
    study = nw.compare(
        make,
        loaded,
        ["plain"],
        seeds=[3, 8],
        epochs=EPOCHS,
        batch_size=BATCH,
        evaluate_every=EVERY,
        optimizer=optimizer.__name__.lower(),
        **{**settings, **asked, **ALONE},
    )
    name = "val_r2" if loaded.task == "regression" else "val_acc"
    for seed in (3, 8):
        noted = by_hand(loaded, make, loss_of, optimizer, settings, seed)
        curve = study.curves().query("seed == @seed")
        assert curve["step"].tolist() == noted["step"]
        assert curve["val_loss"].tolist() == noted["val_loss"]  # bit for bit
        np.testing.assert_allclose(curve["train_loss"], noted["train_loss"], rtol=2e-6)
        scores = [metric(output, loaded.val.y) for output in noted["predictions"]]
        np.testing.assert_allclose(curve[name], scores, rtol=1e-12)
        row = study.frame().query("seed == @seed").iloc[0]
        assert row[name] == pytest.approx(scores[-1], rel=1e-12)
        assert row[f"best_{name}"] == pytest.approx(max(scores), rel=1e-12)
        test = noted["test"][0]
        assert row[name.replace("val", "test")] == pytest.approx(
            metric(test, loaded.test.y), rel=1e-12
        )
        size = len(loaded.test.y)
        y = loaded.test.y
        y = y.to(test.dtype) if y.is_floating_point() else y
        assert row["test_loss"] == loss_of(test, y).item() * size / size


def quick(data: Data, variants, **settings) -> nw.Study:
    return nw.compare(
        **{
            "model": mlp(3, dropout=0.1),
            "data": data,
            "variants": variants,
            "seeds": 3,
            "epochs": 2,
            "batch_size": 16,
            "lr": 0.1,
            **ALONE,
            **settings,
        }
    )


def numbers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns=["variant", "seconds"], errors="ignore").reset_index(drop=True)


def test_runs_of_a_seed_see_the_same_batches_from_the_same_weights(data):
    """Two variants that differ in name only give the same numbers, and seeds do not."""
    twins = {"plain": mlp(3, dropout=0.1), "twin": mlp(3, dropout=0.1)}
    study = quick(data("classes"), twins)
    curves = study.curves()
    plain, twin = (numbers(curves[curves["variant"] == name]) for name in twins)
    pd.testing.assert_frame_equal(plain, twin, check_exact=True)
    ends = plain.groupby("seed")["val_loss"].last()
    assert ends.nunique() == 3


def test_variants_that_keep_the_weights_start_at_the_same_loss(data):
    study = quick(data("classes"), "plain,lr=5x,wd=0.1,dropout=0.5,input-dropout=0.2,init=zero")
    first = study.curves().query("step == 0").pivot(index="seed", columns="variant")["val_loss"]
    for variant in ("lr=5x", "wd=0.1", "dropout=0.5", "input-dropout=0.2"):
        assert (first[variant] == first["plain"]).all()
    assert (first["init=zero"] != first["plain"]).all()
    assert first["plain"].nunique() == 3


def test_the_same_study_twice_gives_the_same_numbers(data):
    frames = []
    for state in (1, 2):
        torch.manual_seed(state)
        frames.append(quick(data("classes"), "plain,dropout=0.5,init=he").frame())
    pd.testing.assert_frame_equal(*map(numbers, frames), check_exact=True)


def test_a_run_does_not_depend_on_the_others_in_its_study(data):
    whole = quick(data("classes"), "plain,dropout=0.5,batch").frame()
    alone = quick(data("classes"), "dropout=0.5", seeds=[2]).frame()
    [row] = whole.query("variant == 'dropout=0.5' and seed == 2").to_dict("records")
    [other] = alone.to_dict("records")
    for name in ("train_loss", "val_loss", "test_loss", "test_acc"):
        assert row[name] == other[name]


def jitter(x: Tensor, generator: torch.Generator) -> Tensor:
    """Change samples, as a user would."""
    return x * (0.9 + 0.2 * torch.rand(len(x), 1, generator=generator))


def test_words_of_the_training_in_a_stack_and_alone(data):
    words = "plain,aug=none,aug=noise:0.3,l1=1e-3+l2=1e-2:0,wd=0.1,entropy=0.2,accumulate=2"
    options = {"augment": jitter, "seeds": 2, "optimizer": "adam"}
    stacked, alone = (quick(data("classes"), words, stack=stack, **options) for stack in (12, 1))
    plan = stacked.plan.set_index("variants")["how"]
    assert plan["accumulate=2"] == "stack of 2"
    assert plan.drop("accumulate=2").tolist() == ["stack of 12"]
    frames = [
        study.frame().set_index(["variant", "seed"])["train_loss"] for study in (stacked, alone)
    ]
    pd.testing.assert_series_equal(*frames, rtol=1e-3)
    assert frames[0].nunique() == 14


def test_what_cannot_be_stacked_is_told_and_trained(data):
    study = quick(data("classes"), "plain,precision=bf16", stack=3)
    told = study.plan.set_index("variants")
    assert told.loc["plain", "how"] == "stack of 3"
    assert told.loc["precision=bf16", "how"] == "alone"
    assert "precision=bf16 has fewer" in told.loc["precision=bf16", "reason"]
    assert (study.frame()["status"] == "done").all()


def test_a_study_with_words_is_resumed(data, tmp_path):
    options = {"augment": jitter, "out": tmp_path, "l2": "1e-3:0", "seeds": 1}
    first = quick(data("classes"), "plain,aug=noise:1", **options)
    again = quick(data("classes"), "plain,aug=noise:1", resume=True, **options)
    pd.testing.assert_frame_equal(first.frame(), again.frame(), check_exact=True)
    with pytest.raises(nw.UsageError, match="aug: 'jitter' there, None here"):
        quick(data("classes"), "plain", **{**options, "augment": None}, resume=True)


def test_random_states_and_threads_of_the_caller_stay(data):
    torch.set_num_threads(2)
    try:
        before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()
        quick(data("classes"), "plain,dropout=0.5")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]
    assert random.getstate() == before[2]


def test_a_run_that_diverges_ends_and_the_study_does_not(data):
    study = quick(
        data("regression"), "plain,lr=1e6x", model=lambda: nn.Linear(6, 1), epochs=8, lr=0.05
    )
    frame, summary = study.frame(), study.summary().set_index("variant")
    lost = frame[frame["variant"] == "lr=1e6x"]
    assert lost["status"].tolist() == ["diverged"] * 3
    assert lost["test_r2"].isna().all()
    kept = frame[frame["variant"] == "plain"]
    assert kept["status"].tolist() == ["done"] * 3
    assert (lost["steps"] < kept["steps"].iloc[0]).all()
    assert (kept["steps"] == 8 * (len(data("regression").train) // 16)).all()
    assert kept["test_r2"].notna().all()
    assert summary["diverged"].tolist() == [0, 3]
    assert any("3 runs diverged" in note for note in study.notes)


def test_the_target_counts_the_first_evaluation_that_reaches_it(data):
    study = quick(data("classes"), "plain,lr=0.1x", epochs=6, target=0.6, evaluate_every=2)
    frame, curves = study.frame(), study.curves()
    for _, row in frame.iterrows():
        curve = curves.query("variant == @row.variant and seed == @row.seed")
        arrived = curve[curve["val_acc"] >= 0.6]["step"]
        assert row["steps_to_target"] is pd.NA if arrived.empty else arrived.iloc[0]
    assert frame["steps_to_target"].notna().any()
    assert study.target == 0.6


def test_no_target_means_the_baselines_median_best(data):
    study = quick(data("classes"), "plain,lr=0.1x")
    best = study.frame().query("variant == 'plain'")["best_val_acc"]
    assert study.target == np.median(best)
    assert any(note.startswith("No target was given") for note in study.notes)


def test_defaults_are_the_perceptron_on_digits():
    study = nw.compare(seeds=1, epochs=1)
    assert study.frame()["variant"].tolist() == ["plain", "batch"]
    assert study.facts["data"] == "digits"
    assert "64" in study.facts["epochs"]
    assert study.folder is None


def test_all_mistakes_come_at_once():
    def needs(width: int) -> nn.Module:
        return nn.Linear(width, 1)

    with pytest.raises(nw.UsageError) as caught:
        nw.compare(
            lambda: 3, "digist", "btach,plain", seeds=0, epochs=0, optimizer="SGD", target=1.2
        )
    told = "\n".join(caught.value.problems)
    for part in ("'digits'", "not an nn.Module", "'batch'", "seeds=0", "epochs=0", "'sgd'", "1.2"):
        assert part in told
    assert len(caught.value.problems) == 7


def test_a_network_of_float64_gets_samples_of_float64(data):
    study = quick(data("outputs"), "plain,batch", model=mlp(2, torch.float64))
    assert study.frame()["test_r2"].notna().all()


def test_batch_norm_wins_on_mnist_in_ten_of_ten_pairs(mnist: Path, tmp_path: Path):
    """The setting of the lectures: 784-48-24-10, batches of 512, plain SGD at 0.01."""
    study = nw.compare(None, "mnist", "plain,batch", epochs=2, batch_size=512, lr=0.01)
    baseline, batch = study.summary().to_dict("records")
    assert (batch["train_loss_wins"], batch["pairs"]) == (10, 10)
    assert batch["train_loss"] < baseline["train_loss"]
    losses = study.frame().pivot(index="seed", columns="variant", values="train_loss")
    assert (losses["batch"] < losses["plain"]).all()
    page = study.to_html(tmp_path / "report.html").read_text("utf-8")
    assert "10/10" in page


class ImageAndAge(nn.Module):
    """Two inputs by name, two heads."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 8), nn.ReLU())
        self.kind, self.size = nn.Linear(8, 2), nn.Linear(8, 1)

    def forward(self, image: Tensor, age: Tensor) -> dict[str, Tensor]:
        features = self.body(torch.cat([image.flatten(1), age], 1))
        return {"kind": self.kind(features), "size": self.size(features)}


def image_and_age() -> tuple[dict, dict]:
    draw = np.random.default_rng(0)
    image, age = draw.normal(size=(120, 1, 2, 2)), draw.normal(size=(120, 1))
    size = image.sum((1, 2, 3)) + age[:, 0]
    return {"image": image, "age": age}, {"kind": (size > 0).astype(int), "size": size}


def test_several_inputs_and_heads_are_compared_by_the_mean_of_their_metrics():
    study = nw.compare(
        ImageAndAge, image_and_age(), ["plain", "lr=2x"], seeds=2, epochs=4, batch_size=16, lr=0.1
    )
    curves = study.curves()
    mean = (curves["val_kind_acc"] + curves["val_size_r2"]) / 2
    assert np.allclose(mean, curves["val_score"])
    assert curves["val_score"].iloc[-1] > 0.8
    assert study.metric == "score"


def test_a_network_that_leaves_out_a_head_is_told_so():
    class OneHead(ImageAndAge):
        def forward(self, image: Tensor, age: Tensor) -> dict[str, Tensor]:
            return {"kind": super().forward(image, age)["kind"]}

    with pytest.raises(nw.UsageError, match=r"the heads 'kind', 'size': 'size' is missing"):
        nw.compare(OneHead, image_and_age(), ["plain"], seeds=1)
