import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from normwise.data import Erase, Noise, Rotate, Shift
from normwise.edit import ACTIVATIONS, INITS
from normwise.errors import UsageError
from normwise.stack import SCHEDULES, Budget, Penalty, Recipe, Stopping, derive
from normwise.study.words import (
    GRAMMAR,
    L1,
    L2,
    WORDS,
    Accumulate,
    Act,
    Augment,
    Clip,
    DropConnect,
    Dropout,
    DropPath,
    EarlyStop,
    Entropy,
    Init,
    InputDropout,
    LearningRate,
    Norm,
    Precision,
    Scheduled,
    Smooth,
    Warmup,
    WeightDecay,
    WeightStandardization,
    Word,
    parse_word,
)
from normwise.study.words.augmenting import AUGMENTATIONS
from normwise.study.words.tuning import PRECISIONS

EXAMPLES: dict[str, Word] = {
    "batch": Norm("batch", None, "before"),
    "batch:before": Norm("batch", None, "before"),
    "layer:after": Norm("layer", None, "after"),
    "instance": Norm("instance", None, "before"),
    "rms": Norm("rms", None, "before"),
    "group=4": Norm("group", 4, "before"),
    "group=2:after": Norm("group", 2, "after"),
    "ghost=16": Norm("ghost", None, "before", 16),
    "renorm": Norm("renorm", None, "before"),
    "whiten:after": Norm("whiten", None, "after"),
    "frn": Norm("frn", None, "before"),
    "dyt": Norm("dyt", None, "before"),
    "gaussian-dropout=0.2": Dropout(0.2, "gaussian-dropout"),
    "uout=0.1": Dropout(0.1, "uout"),
    "concrete-dropout": Dropout(0.1, "concrete-dropout"),
    "locked-dropout=0.3": Dropout(0.3, "locked-dropout"),
    "dropblock=0.1": Dropout(0.1, "dropblock"),
    "dropconnect=0.4": DropConnect(0.4),
    "droppath=0.2": DropPath(0.2),
    "ws": WeightStandardization(),
    "dropout=0.2": Dropout(0.2),
    "dropout=0": Dropout(0.0),
    "input-dropout=.1": InputDropout(0.1),
    "lr=5x": LearningRate(5.0, relative=True),
    "lr=0.05": LearningRate(0.05, relative=False),
    "lr=1e-3x": LearningRate(1e-3, relative=True),
    "wd=1e-4": WeightDecay(1e-4),
    "wd=0": WeightDecay(0.0),
    "wd=0.1:head": WeightDecay(0.1, "head"),
    "l1=1e-5": L1(1e-5),
    "l2=1e-4:encoder.*": L2(1e-4, "encoder.*"),
    "init=he": Init("he", None),
    "init=xavier": Init("xavier", None),
    "init=normal=0.01": Init("normal", 0.01),
    "init=zero": Init("zero", None),
    "act=tanh": Act("tanh"),
    "act=leaky_relu": Act("leaky_relu"),
    "clip=0.5": Clip(0.5),
    "smooth=.1": Smooth(0.1),
    "entropy=0.1": Entropy(0.1),
    "aug=noise:0.1": Augment((Noise(0.1),)),
    "aug=shift:2/noise:1e-2/erase": Augment((Shift(2), Noise(0.01), Erase())),
    "aug=rotate:15": Augment((Rotate(15.0),)),
    "aug=none": Augment(()),
    "accumulate=4": Accumulate(4),
    "precision=bf16": Precision("bf16"),
    "precision=full": Precision("full"),
    "early_stop=5": EarlyStop(5),
    "schedule=cosine": Scheduled("cosine", None),
    "schedule=step=2.5": Scheduled("step", 2.5),
    "schedule=plateau=0": Scheduled("plateau", 0.0),
    "warmup=0.5": Warmup(0.5),
}

MISTAKES = {
    "btach": "unknown word 'btach' (did you mean 'batch'?)",
    "droput=0.2": "did you mean 'dropout'?",
    "xyzzy": f"unknown word 'xyzzy'. A variant is {GRAMMAR}",
    "": "a variant, or a part of one, is empty",
    "batch:behind": "a norm stands :before (the default) or :after",
    "batch:aftr": "did you mean 'after'?",
    "batch:": "a norm stands :before (the default) or :after",
    "dropout=0.2:after": "only a norm can be placed; write dropout=0.2",
    "dropout": "dropout needs a value: dropout=0.2",
    "group": "group needs a value: group=4",
    "batch=3": "batch takes no value; write batch",
    "group=0": "group=0: G is how many groups",
    "group=2.5": "G is how many groups",
    "group=" + "9" * 5000: "G is how many groups",
    "ghost": "ghost needs a value: ghost=16",
    "ghost=1": "N is how many samples share their statistics, from 2 on",
    "whiten=2": "whiten takes no value",
    "concrete-dropout=0.1": "concrete-dropout takes no value",
    "uout=1": "uout=1: half the width of the noise lies in [0, 1)",
    "dropconnect=2": "dropconnect=2: the probability to zero an element lies in [0, 1)",
    "dropblock=-1": "the share to zero lies in [0, 1)",
    "ws:after": "only a norm can be placed; write ws",
    "dropout=1": "lies in [0, 1)",
    "dropout=-0.1": "lies in [0, 1)",
    "dropout=nan": "'nan' is not a finite number",
    "input-dropout=2": "lies in [0, 1)",
    "lr=0": "a learning rate is positive",
    "lr=-5x": "a learning rate is positive",
    "lr=x": "'' is not a finite number",
    "lr=fast": "'fast' is not a finite number",
    "lr=inf": "not a finite number",
    "wd=-1": "wd=-1: the strength is not negative",
    "l2=-1:encoder": "l2=-1:encoder: the strength is not negative",
    "l1": "l1 needs a value: l1=1e-5 is for all layers, l1=1e-5:encoder* for those",
    "l1:encoder": "l1:encoder needs a value",
    "l2=small": "'small' is not a finite number",
    "l2=1:": "name layers behind the colon, such as l2=1e-4:encoder*, or leave it out",
    "init=hee": "unknown init (did you mean 'he'?)",
    "init=normal": "write init=normal=STD",
    "init=normal=0": "write init=normal=STD",
    "init=normal=q": "'q' is not a finite number",
    "init=he=2": "only normal has a standard deviation; write init=he",
    "act=tahn": "unknown activation (did you mean 'tanh'?)",
    "act=": "unknown activation",
    "clip=0": "the largest norm of the gradient is positive",
    "smooth=1": "lies in [0, 1)",
    "schedule": "schedule needs a value: use schedule=cosine",
    "schedule=cosin": "unknown schedule (did you mean 'cosine'?)",
    "schedule=cosine=3": "cosine takes no value; write schedule=cosine",
    "schedule=step=0": "the value is positive",
    "schedule=plateau=1.5": "the patience is a whole number",
    "schedule=exponential=1": "the factor of an epoch lies in (0, 1)",
    "schedule=step=": "'' is not a finite number",
    "entropy=-1": "the strength of the bonus is not negative",
    "entropy=0.1:head": "only a norm can be placed; write entropy=0.1",
    "aug": "aug needs a value: use aug=noise:STD",
    "aug:noise": "aug:noise needs a value",
    "aug=noies:1": "unknown augmentation 'noies' (did you mean 'noise'?); use aug=noise:STD",
    "aug=shift:1/": "unknown augmentation ''",
    "aug=erese": "unknown augmentation 'erese' (did you mean 'erase'?)",
    "aug=erase:0.5": "erase takes no value",
    "aug=noise": "noise needs a value",
    "aug=noise:": "noise needs a value",
    "aug=noise:-1": "the standard deviation of the noise is not negative",
    "aug=noise:loud": "'loud' is not a finite number",
    "aug=shift:1.5": "a shift is a whole number of pixels",
    "aug=shift:-1": "a shift is a whole number of pixels",
    "aug=rotate:181": "the largest angle lies in [0, 180] degrees",
    "aug=none/noise:1": "unknown augmentation 'none'",
    "accumulate=0": "how many batches make a step is a whole number from 1 on",
    "accumulate=2.5": "how many batches make a step is a whole number",
    "early_stop=0": "the patience is a whole number of evaluations from 1 on",
    "precision=bf61": "unknown precision (did you mean 'bf16'?); use precision=bf16",
    "warmup=-1": "the epochs of a warm-up are 0 or more",
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_word_is_read(text: str):
    assert parse_word(text) == EXAMPLES[text]


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_told(text: str):
    with pytest.raises(UsageError, match=re.escape(MISTAKES[text])) as caught:
        parse_word(text)
    assert len(caught.value.problems) == 1


def test_every_word_and_value_is_in_the_grammar_and_the_examples():
    named = re.split(r"[\s,|:=]+", GRAMMAR)
    assert set(WORDS) <= set(named)
    assert {*INITS, *ACTIVATIONS, *SCHEDULES, *AUGMENTATIONS, *PRECISIONS} <= set(named)
    assert {re.split("[:=]", text)[0] for text in EXAMPLES} == set(WORDS)


PIECES = st.sampled_from(
    [*WORDS, *INITS, *ACTIVATIONS, *AUGMENTATIONS, "plain", *"=:+/x", "0.5", "after", "erase"]
)
TEXTS = st.text() | st.lists(PIECES | st.text(max_size=2), max_size=6).map("".join)


@given(TEXTS)
def test_parsing_is_total(text: str):
    problems: tuple[str, ...] = ()
    word = None
    try:
        word = parse_word(text)
    except UsageError as error:
        problems = error.problems
    assert isinstance(word, Word) if not problems else len(problems) == 1


@given(st.floats(0, 1, exclude_max=True), st.floats(1e-30, 1e30), st.integers(1, 10**8))
def test_values_come_back_exactly(share: float, positive: float, groups: int):
    assert parse_word(f"dropout={share!r}") == Dropout(share)
    assert parse_word(f"input-dropout={share!r}") == InputDropout(share)
    assert parse_word(f"lr={positive!r}x") == LearningRate(positive, relative=True)
    assert parse_word(f"lr={positive!r}") == LearningRate(positive, relative=False)
    assert parse_word(f"wd={positive!r}") == WeightDecay(positive)
    assert parse_word(f"init=normal={positive!r}") == Init("normal", positive)
    assert parse_word(f"group={groups}") == Norm("group", groups, "before")


def test_words_tune_the_training_they_name_and_nothing_else():
    recipe = Recipe("adam", 0.02)
    expected = {
        "lr=5x": Recipe("adam", 0.1),
        "lr=0.5": Recipe("adam", 0.5),
        "wd=0.3": Recipe("adam", 0.02, wd=Penalty(0.3)),
        "l1=0.1:head": Recipe("adam", 0.02, l1=Penalty(0.1, "head")),
        "l2=0": Recipe("adam", 0.02, l2=Penalty(0.0)),
        "clip=2": Recipe("adam", 0.02, clip=2.0),
        "smooth=0.1": Recipe("adam", 0.02, label_smoothing=0.1),
        "entropy=0.3": Recipe("adam", 0.02, entropy=0.3),
        "aug=shift:1/erase": Recipe("adam", 0.02, augment=(Shift(1), Erase())),
        "accumulate=3": Recipe("adam", 0.02, accumulate=3),
        "precision=bf16": Recipe("adam", 0.02, precision="bf16"),
        "precision=full": recipe,
        "early_stop=3": Recipe("adam", 0.02, stopping=Stopping(patience=3, restore=True)),
        "batch": recipe,
    }
    for text, tuned in expected.items():
        assert parse_word(text).tune(recipe, Budget(10, 4, 5, 4)) == tuned


def edited(text: str, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(7)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    return parse_word(text).edit(network, torch.randn(4, 6), seed)


def test_words_edit_the_network():
    x = torch.randn(5, 6)
    assert any(isinstance(m, nn.BatchNorm1d) for m in edited("batch").modules())
    [norm] = [m for m in edited("group=4").modules() if isinstance(m, nn.GroupNorm)]
    assert norm.num_groups == 4
    [dropout] = [m for m in edited("dropout=0.25").modules() if isinstance(m, nn.Dropout)]
    assert dropout.p == 0.25
    torch.manual_seed(7)
    first, last = nn.Linear(6, 8), nn.Linear(8, 3)
    torch.testing.assert_close(edited("act=tanh")(x), last(torch.tanh(first(x))))
    torch.testing.assert_close(edited("lr=5x")(x), last(torch.relu(first(x))))
    assert not edited("init=zero")(x).any()


def test_placement_decides_what_the_norm_sees():
    x = torch.randn(5, 6)
    torch.manual_seed(7)
    first, last = nn.Linear(6, 8), nn.Linear(8, 3)
    norm = nn.LayerNorm(8)
    before, after = edited("layer")(x), edited("layer:after")(x)
    torch.testing.assert_close(before, last(torch.relu(norm(first(x)))))
    torch.testing.assert_close(after, last(norm(torch.relu(first(x)))))


def test_init_depends_on_the_seed_and_not_on_torchs_state():
    drawn = {}
    for seed in (0, 1):
        torch.manual_seed(1000 + seed)
        drawn[seed] = edited("init=normal=0.5", seed)[0].weight
    assert torch.equal(drawn[0], edited("init=normal=0.5", 0)[0].weight)
    assert not torch.equal(drawn[0], drawn[1])
    generator = torch.Generator().manual_seed(derive(1, "init"))
    torch.testing.assert_close(drawn[1], 0.5 * torch.randn(8, 6, generator=generator))
