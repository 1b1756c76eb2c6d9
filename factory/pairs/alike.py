"""Remembers texts, one after the other, and finds those that a new one is too much like."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from factory.rows.similarity import Numbers, Read, read

_SLACK = 1e-4
"""Rounding of 32-bit sizes."""


@dataclass(frozen=True, slots=True)
class Match:
    """A remembered text that is like the new one."""

    text: str
    group: str
    value: float
    """Their similarity, as `factory.rows.similarity` measures it."""


class Alike:
    """An index by word over texts that come one at a time.

    A text is looked up by its rarest words, as many of them as a text alike enough must share one
    of; the frequent words are then looked up only for what was found. The result is exact. A text
    costs four bytes a word; nothing is compared pair by pair.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._groups: list[str] = []
        self._sizes = array("f")
        self._having: dict[str, array[int]] = {}
        """By word, the places of the texts that have it, ascending."""
        self._gone: set[int] = set()

    def add(self, text: str, group: str = "") -> None:
        """Remember a text."""
        found = read(text)
        for word in found.features:
            self._having.setdefault(word, array("I")).append(len(self._texts))
        self._texts.append(text)
        self._groups.append(group)
        self._sizes.append(found.size)

    def forget_last(self, text: str) -> bool:
        """Forget a text again, the last of its wording; returns whether there was one."""
        for place in range(len(self._texts) - 1, -1, -1):
            if self._texts[place] == text and place not in self._gone:
                self._gone.add(place)
                return True
        return False

    def like(self, found: Read, threshold: float) -> Iterator[Match]:
        """Texts whose similarity is at or above the threshold, in the order they were added."""
        words = [word for word in found.features if word in self._having]
        words.sort(key=lambda word: len(self._having[word]))
        size = found.size
        left = sum(found.features[word] for word in words)
        # 2 * shared >= threshold * (a + b), and b is no smaller than what it shares
        least = threshold / (2 - threshold) * size
        if not words or left < least - _SLACK:
            return
        shared = np.zeros(len(self._texts))
        while words and left >= least - _SLACK:
            word = words.pop(0)
            shared[self._places(word)] += found.features[word]
            left -= found.features[word]
        need = threshold / 2 * (size + np.frombuffer(self._sizes, np.float32)) - _SLACK
        near = np.flatnonzero((shared > 0) & (shared + left >= need))
        value = shared[near]
        for word in words:
            places = self._places(word)
            at = np.minimum(np.searchsorted(places, near), len(places) - 1)
            value += np.where(places[at] == near, found.features[word], 0.0)
        for place, common in zip(near.tolist(), value.tolist(), strict=True):
            alike = round(2 * common / (size + self._sizes[place]), 6)
            if alike >= threshold - 1e-6 and place not in self._gone:
                yield Match(self._texts[place], self._groups[place], alike)

    def _places(self, word: str) -> Numbers:
        return np.frombuffer(self._having[word], np.uint32).astype(np.int64)
