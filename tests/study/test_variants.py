import re
from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from normwise.errors import UsageError
from normwise.study.variants import Variant, parse_variants
from normwise.study.words import WORDS, Dropout, LearningRate, Norm

BATCH = Norm("batch", None, "before")


def problems(variants) -> tuple[str, ...]:
    with pytest.raises(UsageError) as caught:
        parse_variants(variants)
    return caught.value.problems


def test_a_list_and_a_text_are_read_alike():
    wanted = [
        Variant("plain"),
        Variant("batch+lr=5x", (BATCH, LearningRate(5.0, True))),
        Variant("dropout=0.2", (Dropout(0.2),)),
    ]
    assert parse_variants(["plain", "batch+lr=5x", "dropout=0.2"]) == wanted
    assert parse_variants("plain, batch+lr=5x,dropout=0.2") == wanted
    assert parse_variants(name for name in ("plain", "batch+lr=5x", "dropout=0.2")) == wanted


def test_the_first_is_the_baseline_even_where_it_is_not_plain():
    assert [v.name for v in parse_variants("batch,plain")] == ["batch", "plain"]


def test_spaces_around_parts_do_not_matter():
    [variant] = parse_variants(["batch + lr=5x"])
    assert variant == Variant("batch + lr=5x", (BATCH, LearningRate(5.0, True)))


def test_plain_among_parts_changes_nothing():
    [variant] = parse_variants(["plain+batch"])
    assert variant.words == (BATCH,)


def test_a_mapping_is_compared_with_plain():
    def mine() -> nn.Module:
        return nn.Linear(1, 1)

    parsed = parse_variants({"mine": mine, "fast": "lr=10x"})
    assert [v.name for v in parsed] == ["plain", "mine", "fast"]
    assert parsed[0] == Variant("plain")
    assert parsed[1].factory is mine
    assert parsed[2].words == (LearningRate(10.0, True),)
    own = parse_variants({"mine": mine, "plain": "plain"})
    assert [v.name for v in own] == ["mine", "plain"]


def test_all_mistakes_come_at_once_in_order():
    assert [p.split(":")[0] for p in problems("plain,btach+lr=q+dropout=2,foo,lr=-1")] == [
        "unknown word 'btach' (did you mean 'batch'?)",
        "lr=q",
        "dropout=2",
        "unknown word 'foo'. A variant is plain, or parts joined by +",
        "lr=-1",
    ]


@pytest.mark.parametrize(
    ("text", "slot"),
    [
        ("batch+layer", "norm"),
        ("batch+batch", "norm"),
        ("dropout=0.1+dropout=0.2", "dropout"),
        ("input-dropout=0.1+input-dropout=0.1", "input dropout"),
        ("lr=2x+lr=0.1", "learning rate"),
        ("wd=1+wd=2", "weight decay"),
        ("init=he+init=zero", "init"),
        ("act=relu+act=tanh", "activation"),
    ],
)
def test_parts_that_contradict_each_other(text: str, slot: str):
    assert problems(text) == (f"variant {text!r} names its {slot} more than once: keep one",)


def test_dropout_at_input_and_inside_go_together():
    [variant] = parse_variants("dropout=0.2+input-dropout=0.1")
    assert len(variant.words) == 2


@pytest.mark.parametrize(
    ("variants", "pair"),
    [
        ("batch,batch", ("batch", "batch")),
        ("batch+lr=5x,lr=5x+batch", ("batch+lr=5x", "lr=5x+batch")),
        ("batch,batch:before", ("batch", "batch:before")),
        ("dropout=0.20,dropout=0.2", ("dropout=0.20", "dropout=0.2")),
        ({"a": "batch", "b": "batch"}, ("a", "b")),
        ({"same": "plain"}, ("plain", "same")),
    ],
)
def test_variants_that_are_the_same(variants, pair: tuple[str, str]):
    first, second = pair
    assert problems(variants) == (f"variants {first!r} and {second!r} are the same: keep one",)


def test_one_factory_under_two_names_is_the_same():
    def mine() -> nn.Module:
        return nn.Linear(1, 1)

    assert "are the same" in problems({"a": mine, "b": mine})[0]


def test_different_placements_differ():
    assert len(parse_variants("batch,batch:after")) == 2


@pytest.mark.parametrize(
    ("variants", "told"),
    [
        ([], "variants is empty"),
        ({}, ""),
        ("", "a variant, or a part of one, is empty"),
        ("plain,,batch", "is there a comma or + too many?"),
        ("batch+", "is there a comma or + too many?"),
        (None, "variants=None: give a list of texts"),
        (5, "variants=5: give a list"),
        ([3], "variant 3 has no name: give a mapping"),
        ([lambda: None], "has no name: give a mapping, such as {'mine': make_network}"),
        ({"mine": 3}, "variant 'mine' is a int: give a text by the grammar, or a function"),
        ({"mine": nn.Linear(1, 1)}, "every seed needs a fresh one: give a function"),
        ({1: "batch"}, "variant 1 has no name"),
    ],
)
def test_what_is_no_variant(variants, told: str):
    if not told:
        assert [v.name for v in parse_variants(variants)] == ["plain"]
        return
    assert re.search(re.escape(told), "\n".join(problems(variants)))


PIECES = st.sampled_from([*WORDS, "plain", "=", ":", "+", ",", "5x", "0.1", "4", "after", "he"])
TEXTS = st.text(max_size=20) | st.lists(PIECES, max_size=10).map("".join)


@given(TEXTS | st.lists(TEXTS, max_size=4) | st.dictionaries(TEXTS, TEXTS, max_size=3))
def test_parsing_is_total(variants):
    problems: tuple[str, ...] = ()
    parsed: list[Variant] = []
    try:
        parsed = parse_variants(variants)
    except UsageError as error:
        problems = error.problems
    assert all(problems)
    assert bool(parsed) != bool(problems)
    assert len({variant.name for variant in parsed}) == len(parsed)


def test_edits_do_not_depend_on_the_order_of_the_words():
    x = torch.randn(6, 5)
    outputs = []
    for order in permutations(["batch", "dropout=0", "act=tanh", "init=he"]):
        [variant] = parse_variants(["+".join(order)])
        network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
        outputs.append(variant.edit(network, x, seed=4).train()(x))
    assert outputs[0].std() > 0.1
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0])
