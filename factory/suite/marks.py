"""Which words and signs mark each side of a style scorer, so that a reader sees what it learned."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.rows.words import CJK

_OFTENER = 1.25
"""A mark of one side is at least so many times as frequent there."""

PLACE = re.compile(
    rf"[{CJK}]|(?:(?![{CJK}])[^\W_])+(?:['\u2019](?:(?![{CJK}])[^\W_])+)*|[^\w\s]|\n"
)
"""A word, a sign, a line break or a CJK character."""

_CJK_PAIR = re.compile(rf"(?=([{CJK}]{{2}}))")


@dataclass(frozen=True, slots=True)
class Marks:
    """Words, signs and CJK pairs of one side's texts."""

    adds: Mapping[str, float]
    """What each adds to the logits, summed over all texts."""
    counts: Mapping[str, int]
    """How often each occurs."""
    texts: Mapping[str, int]
    """How many texts have it."""
    characters: int
    """Length of all texts together."""

    @classmethod
    def of(cls, texts: Sequence[str], adds_of: Callable[[str], NDArray[np.float64]]) -> Marks:
        """Read one side's texts; `adds_of` says what each character of a text adds to its logit."""
        adds: dict[str, float] = defaultdict(float)
        counts: Counter[str] = Counter()
        having: Counter[str] = Counter()
        for text in texts:
            added = adds_of(text)
            found = list(_readable(text))
            for start, mark in found:
                adds[mark] += float(added[start : start + len(mark)].sum())
            counts.update(mark for _, mark in found)
            having.update({mark for _, mark in found})
        return cls(adds, counts, having, sum(map(len, texts)))

    def rate(self, mark: str) -> float:
        """Occurrences in a character of text."""
        return self.counts.get(mark, 0) / self.characters


def strongest(mine: Marks, other: Marks, sign: int, count: int) -> list[str]:
    """The marks of one side that two of its texts have and that weigh most.

    Args:
        mine: This side's.
        other: The other side's; what is nearly as frequent there is no mark of this one.
        sign: 1 where adding to the logit speaks for this side, else -1.
        count: How many, at most.
    """
    found = [
        mark
        for mark, texts in mine.texts.items()
        if texts > 1
        and sign * mine.adds[mark] > 0
        and mine.rate(mark) >= _OFTENER * other.rate(mark)
    ]
    chosen: list[str] = []
    for mark in sorted(found, key=lambda m: (-sign * mine.adds[m], m)):
        # neighbours of a CJK pair repeat half of it
        if len(chosen) < count and not any(_share_end(mark, one) for one in chosen):
            chosen.append(mark)
    return ["new line" if mark == "\n" else mark for mark in chosen]


def _readable(text: str) -> Iterator[tuple[int, str]]:
    """Words, marks and pairs of CJK characters, with their places."""
    for match in PLACE.finditer(text):
        if not re.fullmatch(f"[{CJK}]", match[0]):
            yield match.start(), match[0]
    for match in _CJK_PAIR.finditer(text):
        yield match.start(), match[1]


def _share_end(mark: str, other: str) -> bool:
    pairs = _CJK_PAIR.match(mark) and _CJK_PAIR.match(other)
    return bool(pairs) and (mark[0] == other[1] or mark[1] == other[0])
