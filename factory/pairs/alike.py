"""Remembers texts, one after the other, and finds those that a new one is too much like."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from factory.rows.similarity import Read, read, similarity

_SLACK = 1e-4
"""Rounding of 32-bit sizes."""


@dataclass(frozen=True, slots=True)
class Match:
    """A remembered text that is like the new one."""

    text: str
    group: str
    value: float


class Alike:
    """An index by word over texts that come one at a time.

    A text is looked up by its rarest words only, as many of them as a text alike enough must share
    one of, so most remembered texts are never touched. The result is exact. A text costs some bytes
    a word; nothing is compared pair by pair.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._groups: list[str] = []
        self._sizes = array("f")
        self._having: dict[str, array[int]] = {}
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
        met: dict[int, float] = {}
        left = found.size
        # 2 * shared >= threshold * (a + b), and b is no smaller than what it shares
        least = threshold / (2 - threshold) * left
        for word in sorted(found.features, key=lambda word: len(self._having.get(word, ()))):
            if left < least - _SLACK:
                break
            value = found.features[word]
            left -= value
            for place in self._having.get(word, ()):
                met[place] = met.get(place, 0.0) + value
        for place in sorted(met):
            most = 2 * (met[place] + left) + _SLACK
            if place in self._gone or most < threshold * (found.size + self._sizes[place]):
                continue
            value = similarity(found, read(self._texts[place]))
            if value >= threshold:
                yield Match(self._texts[place], self._groups[place], value)
