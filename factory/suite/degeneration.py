"""Whether a reply is one at all: it stops, says something, does not loop, and keeps the language.

Loops and the share of repeated 4-grams are the marks of degenerate text: Holtzman et al. 2020
(arXiv 1904.09751) count text that ends in a loop, Welleck et al. 2020 (arXiv 1908.04319, seq-rep-4)
the share of n-grams that are repeats.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from factory.contracts import Reply
from factory.pairs import tics as habits
from factory.rows.language import mismatch
from factory.rows.words import CJK, normalise

VERSION = 1
"""Part of a scorecard's comparability."""

_TOKEN = re.compile(rf"[{CJK}]|(?:(?![{CJK}])[^\W_])+|[^\w\s]")
_RULE = re.compile(r"^[ \t|:*_=~.-]{3,}$", re.M)
_SENTENCE = re.compile(r"[^.!?\n。！？]+[.!?。！？]*")

_LONGEST_UNIT = 40
"""Tokens of the longest unit that is followed as a loop."""
_TURNS = 3
"""A loop says its unit so many times in a row..."""
_LOOP = 10
"""...and covers so many tokens, or half of the reply."""
_LAUGHTER = frozenset([*"哈呵嘿嘻啦呜嗯", "ha", "he", "ho", "hi", "la", "na"])
"""Words people write many times in a row."""
_REFRAIN = 3
"""A sentence that is said so often is no refrain any more."""
_SENTENCE_TOKENS = 5
"""Shorter sentences may come again: "Yes.", "Try again."."""
_GRAM = 4
_REPEATED = 0.4
"""Share of repeats among the 4-grams from which a text repeats itself. Of 5,062 good answers of the
shipped personas and cards the highest had 0.17."""
_FEWEST_GRAMS = 24


@dataclass(frozen=True, slots=True)
class Tic:
    """The commonest habit of one kind in a set of replies."""

    kind: str
    """`opener`, `closer` or `phrase`."""
    text: str
    """In lower case, without punctuation."""
    share: float
    """Share of the replies that have it."""


def flags(reply: Reply, language: str) -> dict[str, float]:
    """What every reply must do, 1 where it does: stop_rate, non_empty, no_repetition, language.

    Text of a few letters is in any language, and an empty one repeats nothing: each flag says one
    thing only.
    """
    return {
        "stop_rate": float(reply.finish_reason == "stop"),
        "non_empty": float(says_something(reply.text)),
        "no_repetition": float(not repeats(reply.text)),
        "language": float(mismatch(reply.text, language) is None),
    }


def says_something(text: str) -> bool:
    """Whether there is a letter, a digit or a pictograph."""
    return any(c.isalnum() or unicodedata.category(c) == "So" for c in text)


@lru_cache(1 << 14)
def repeats(text: str) -> bool:
    """Whether a text runs in circles: a loop, a sentence said again and again, or mostly repeats."""
    tokens = _TOKEN.findall(_RULE.sub("", text).casefold())
    return _loops(tokens) or _refrains(text) or repeated_share(tokens) > _REPEATED


def repeated_share(tokens: Sequence[str]) -> float:
    """seq-rep-4: share of the 4-grams that came before; 0 for short texts."""
    grams = list(zip(*(tokens[start:] for start in range(_GRAM)), strict=False))
    if len(grams) < _FEWEST_GRAMS:
        return 0.0
    return 1 - len(set(grams)) / len(grams)


def _loops(tokens: Sequence[str]) -> bool:
    """Whether a unit follows itself `_TURNS` times, over `_LOOP` tokens or half of the text."""
    numbers: dict[str, int] = {}
    read = np.array([numbers.setdefault(token, len(numbers)) for token in tokens])
    for size in range(1, min(_LONGEST_UNIT, len(tokens) // _TURNS) + 1):
        same = read[size:] == read[:-size]
        least = (_TURNS - 1) * size
        if same.sum() < least:
            continue
        edges = np.flatnonzero(np.diff(np.concatenate(([False], same, [False]))))
        for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            unit = tokens[start : start + size]
            if end - start >= least and end - start + size >= _enough(unit, len(tokens)):
                return True
    return False


def _enough(unit: Sequence[str], length: int) -> float:
    """Tokens a loop of this unit must cover in a text of this length."""
    if _LAUGHTER.issuperset(unit):
        return math.inf
    if not any(token[0].isalnum() for token in unit):
        return 2 * _LOOP  # three exclamation marks or pictographs are a habit of writing
    return min(_LOOP, max(_TURNS, length / 2))


def _refrains(text: str) -> bool:
    said = (" ".join(_TOKEN.findall(part.casefold())) for part in _SENTENCE.findall(text))
    counts = Counter(one for one in said if one.count(" ") >= _SENTENCE_TOKENS - 1)
    return max(counts.values(), default=0) >= _REFRAIN


def tics(replies: Sequence[str]) -> list[Tic]:
    """The commonest opener, closer and phrase of a set of replies, with the share that has each.

    Replies to one question are alike by nature: give one reply for each question.
    """
    texts = [_words(reply) for reply in replies if says_something(reply)]
    kinds: dict[str, Callable[[list[str]], set[str]]] = {
        "opener": lambda words: {habits.opener(words)},
        "closer": lambda words: {habits.closer(words)},
        "phrase": lambda words: set(habits.phrases(words)),
    }
    found = []
    for kind, of in kinds.items():
        counts = Counter(habit for words in texts if words for habit in of(words))
        if counts:
            habit, count = min(counts.items(), key=lambda one: (-one[1], one[0]))
            found.append(Tic(kind, habit, count / len(texts)))
    return found


def _words(text: str) -> list[str]:
    """Words as they were written, so that a habit can be read."""
    return [token for token in _TOKEN.findall(normalise(text)) if token[0].isalnum()]
