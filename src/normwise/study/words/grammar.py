"""The grammar of variants: which words there are. Adding one is adding a class and its entry."""

from collections.abc import Mapping
from typing import Any, cast

from normwise.edit import ACTIVATIONS, INITS
from normwise.errors import Problems, UsageError, suggest
from normwise.stack import SCHEDULES, Own
from normwise.study.words.augmenting import AUGMENTING, Augment
from normwise.study.words.editing import EDITING, NORMS, PLACES
from normwise.study.words.scheduling import SCHEDULING
from normwise.study.words.shrinking import SHRINKING
from normwise.study.words.tuning import PRECISIONS, TUNING
from normwise.study.words.word import Spelling, Word

WORDS = {**EDITING, **TUNING, **SHRINKING, **AUGMENTING, **SCHEDULING}

GRAMMAR = (
    "plain, or parts joined by +: batch, layer, group=G, instance, rms, ghost=N, renorm, whiten, "
    "frn, dyt (each with :after to stand behind the activation), dropout=P, gaussian-dropout=P, "
    "uout=P, concrete-dropout, locked-dropout=P, dropblock=P, dropconnect=P, droppath=P, "
    "input-dropout=P, ws, "
    "lr=5x or lr=0.05, l1=STRENGTH, l2=STRENGTH, wd=STRENGTH (each with :LAYERS), "
    f"init={'|'.join(INITS).replace('normal', 'normal=STD')}, act={'|'.join(ACTIVATIONS)}, "
    f"schedule={'|'.join(SCHEDULES)}, warmup=EPOCHS, clip=NORM, smooth=SHARE, "
    "entropy=STRENGTH, aug=noise:STD|shift:PIXELS|rotate:DEGREES|erase|none (several joined by /), "
    f"accumulate=BATCHES, precision={'|'.join(PRECISIONS)}, early_stop=EVALUATIONS"
)


def parse_options(options: Mapping[str, object]) -> list[Word]:
    """Read words that are given one by one.

    Args:
        options: value by key; those that are None are left out. That of `aug` may be a function.

    Raises:
        UsageError: all that is wrong with them.

    Example:
        >>> parse_options({"clip": 1.0, "schedule": None})
        [Clip(value=1.0)]
    """
    problems, words = Problems(), []
    for key, value in options.items():
        with problems.collect():
            if key == "aug" and callable(value):
                words.append(Augment((Own(cast(Any, value)),)))
            elif value is not None:
                words.append(parse_word(f"{key}={value}"))
    problems.raise_if_any()
    return words


def parse_word(text: str) -> Word:
    """Read one part of a variant.

    Args:
        text: such as `batch:after`, `dropout=0.2` or `lr=5x`.

    Raises:
        UsageError: it is no word of the grammar, or its value is out of range.

    Example:
        >>> parse_word("dropout=0.2")
        Dropout(p=0.2, kind='dropout')
    """
    spelling = Spelling.of(text)
    key, has_value, is_placed = spelling.key, "=" in text.partition(":")[0], ":" in text
    if not text:
        raise UsageError("a variant, or a part of one, is empty: is there a comma or + too many?")
    if key not in WORDS:
        near = suggest(key, WORDS)
        raise UsageError(f"unknown word {text!r}{near or f'. A variant is {GRAMMAR}'}")
    entry = WORDS[key]
    if is_placed and key not in NORMS and not entry.has_colon:
        raise spelling.refuse(f"only a norm can be placed; write {text.partition(':')[0]}")
    if is_placed and key in NORMS and spelling.place not in PLACES:
        raise spelling.refuse(
            "a norm stands :before (the default) or :after the activation"
            f"{suggest(spelling.place, PLACES)}"
        )
    if not has_value and entry.value is not None:
        raise UsageError(f"{text} needs a value: {entry.value}")
    if has_value and entry.value is None:
        raise spelling.refuse(f"{key} takes no value; write {key}")
    return entry.read(spelling)
