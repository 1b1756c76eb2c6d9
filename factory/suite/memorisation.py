"""How much of a reply stands word for word in one training reply.

The longest shared run, and the share of the reply's n-grams that the nearest training reply contains
(8 words, after the 8-gram overlap by which training sets are searched for test items; 12 characters in
Chinese, about as much text). Raw overlap says little, since a good answer may be the only one: compare
it with held-out questions and with the base.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from factory.rows.words import CJK, is_cjk, normalise

VERSION = 1
"""Part of a scorecard's comparability."""

_TOKEN = re.compile(rf"[{CJK}]|(?:(?![{CJK}])[^\W_])+")
_WORDS, _CHARACTERS = 8, 12
"""Length of the n-grams, in words and in CJK characters."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a reply shares with the training replies."""

    run: int
    """Words (characters in Chinese) of the longest run that stands in a training reply."""
    containment: float
    """Share of the reply's n-grams that stand in the training reply with most of them."""
    nearest: int | None
    """Which training reply that is; where none has an n-gram, the one with the longest run, if any."""


def overlap(text: str, training: Sequence[str]) -> Overlap:
    """Compare a reply with every training reply.

    Args:
        text: A reply. One that is shorter than an n-gram is compared as a whole.
        training: What the persona's training rows answer.
    """
    return _memory(tuple(training)).overlap(text)


@lru_cache(4)
def _memory(training: tuple[str, ...]) -> _Memory:
    return _Memory([_tokens(text) for text in training])


def _tokens(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(normalise(text)))


class _Memory:
    """The training replies, found by their n-grams; an index for one length is made when needed."""

    def __init__(self, texts: Sequence[tuple[str, ...]]) -> None:
        self._texts = texts
        self._indexes: dict[int, dict[tuple[str, ...], list[int]]] = {}

    def overlap(self, text: str) -> Overlap:
        words = _tokens(text)
        run, where = self._longest(words)
        size = _CHARACTERS if sum(map(is_cjk, words)) * 2 > len(words) else _WORDS
        size = min(size, len(words))
        grams = [words[at : at + size] for at in range(len(words) - size + 1)] if words else []
        index = self._index(size) if grams else {}
        hits = Counter(at for gram in grams for at in index.get(gram, ()))
        if not hits:
            return Overlap(run, 0.0, where)
        nearest, count = min(hits.items(), key=lambda one: (-one[1], one[0]))
        return Overlap(run, count / len(grams), nearest)

    def _longest(self, words: tuple[str, ...]) -> tuple[int, int | None]:
        """Every part of a shared run is shared, so one pass that only looks for longer ones will do."""
        best, where = 0, None
        for start in range(len(words)):
            while start + best < len(words):
                found = self._index(best + 1).get(words[start : start + best + 1])
                if not found:
                    break
                best, where = best + 1, found[0]
        return best, where

    def _index(self, size: int) -> dict[tuple[str, ...], list[int]]:
        if size not in self._indexes:
            index: dict[tuple[str, ...], list[int]] = defaultdict(list)
            for at, words in enumerate(self._texts):
                for gram in {words[i : i + size] for i in range(len(words) - size + 1)}:
                    index[gram].append(at)
            self._indexes[size] = dict(index)
        return self._indexes[size]
