"""Burrows's Delta between persona and plain answers, which does not look at what a text is about.

Function words, punctuation, and lengths of sentences and words are counted, taken as z-scores over all
answers, and a text's mean distance to each side's mean is compared (Burrows 2002,
doi:10.1093/llc/17.3.267; Evert et al. 2017, doi:10.1093/llc/fqx023). On the first words of a text it is
as good as the classifier and speaks in plain words, so the two are shown together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from factory.rows.words import CJK, is_cjk, normalise

VERSION = 1
"""Part of a scorecard's comparability."""

_ENGLISH = """
    a an the this that these those i me my we us our you your he she it its they them their who which
    what when where why how and or but so because if then than though while as of in on at to from for
    with without by about into over under up down out off before after through between is are was were
    be been being am do does did have has had will would can could should may might must not no never
    yes just only even still too very really quite more most much many few some any all each every both
    one here there now again let like well maybe perhaps please of course also however indeed
"""
_CHINESE = (
    "的了吗呢啊吧呀嘛哦是我你您他她它们这那在和与就都也还很太要会能可请想给把被让对从到得地着过"
    "怎么什哪谁为几些点儿啦不没别再又才只先后但而且或如果因所以最更便个有来去说"
)
_MARKS = ",.!?;:\u2014\u2026()\"'-*#，。！？；：、…（）“”~～"
_TOKEN = re.compile(rf"[{CJK}]|(?:(?![{CJK}])[^\W_])+|[^\w\s]|\n")
_SENTENCE_END = re.compile(r"[.!?\u2026。！？]+[\"'\u201d)]*(?=\s|$)|[。！？]+|\n+")
_SENTENCES = ((1, 5), (6, 10), (11, 16), (17, 25), (26, 10_000))
_LETTERS = ((1, 3), (4, 6), (7, 9), (10, 100))

_MOST_FREQUENT = 80
"""Words that are looked at in a language without a list: the commonest ones, as Burrows took them."""
_SEEN = 3
"""A feature that fewer answers have is an accident."""
_CLEAR = 0.35
"""Differences under so many standard deviations are not put into words."""
_CLIP = 3.0
"""Highest z-score: one odd count in a short text must not outweigh all others."""
_RARELY = 0.005
"""Share of an answer's words under which a word counts as hardly used."""

Features = dict[str, float]


@dataclass(frozen=True, slots=True)
class Burrows:
    """Compares a text with both sides; made by `fit`."""

    _names: tuple[str, ...]
    _read: Callable[[str], Features]
    _mean: NDArray[np.float64]
    _spread: NDArray[np.float64]
    _usual: tuple[NDArray[np.float64], NDArray[np.float64]]
    """Mean features of the persona's and of the plain answers."""
    _middle: float

    @classmethod
    def fit(cls, persona: Sequence[str], plain: Sequence[str], language: str) -> Burrows:
        """Count what both sides do.

        Args:
            persona: Answers in the persona's voice; at least one with a word in it.
            plain: Answers without it; the same.
            language: Two-letter code; English and Chinese have lists of function words, in other
                languages the commonest words of all answers are taken.

        Raises:
            ValueError: If a side has no answer.
        """
        sides = [[t for t in side if t.strip()] for side in (persona, plain)]
        if not all(sides):
            raise ValueError("no answers to compare: one side is empty")
        words = _function_words([*sides[0], *sides[1]], language)

        def read(text: str) -> Features:
            return _features(text, words)

        found = [[read(text) for text in side] for side in sides]
        seen = Counter(name for side in found for one in side for name, v in one.items() if v)
        names = tuple(sorted(name for name, count in seen.items() if count >= _SEEN))
        tables = [np.array([[one.get(n, 0.0) for n in names] for one in side]) for side in found]
        # Both sides weigh the same, however many answers each has.
        usual = tables[0].mean(axis=0), tables[1].mean(axis=0)
        mean = (usual[0] + usual[1]) / 2
        variance = sum(((table - mean) ** 2).mean(axis=0) for table in tables) / 2
        spread = np.sqrt(np.maximum(variance, 1e-12))
        unshifted = cls(names, read, mean, spread, usual, 0.0)
        middle = sum(float(np.mean(unshifted.score(side))) for side in sides) / 2
        return cls(names, read, mean, spread, usual, middle)

    def score(self, texts: Sequence[str]) -> list[float]:
        """Delta to the plain answers minus delta to the persona's; above 0 is nearer the persona.

        Short texts lack most function words and are near whichever side has fewer; so 0 is put
        half-way between the two sides' own answers.
        """
        if not self._names:
            return [0.0] * len(texts)
        near, far = (self._z(side) for side in self._usual)
        scores = []
        for text in texts:
            found = self._read(text)
            z = self._z(np.array([found.get(name, 0.0) for name in self._names]))
            gap = float(np.abs(z - far).mean() - np.abs(z - near).mean())
            scores.append(gap - self._middle)
        return scores

    def explain(self, count: int) -> list[str]:
        """How the persona writes beside plain answers, clearest difference first.

        Returns:
            Parts of sentences such as `uses "you" 2.1 times as often as plain answers`.
        """
        gaps = (self._usual[0] - self._usual[1]) / self._spread
        order = sorted(range(len(gaps)), key=lambda at: (-abs(gaps[at]), self._names[at]))
        said: list[str] = []
        lengths_told: set[str] = set()
        for at in order:
            kind, _, what = self._names[at].partition(":")
            if abs(gaps[at]) < _CLEAR or len(said) == count:
                break
            if kind in ("sentence", "letters"):
                if kind in lengths_told:
                    continue
                lengths_told.add(kind)
            mine, theirs = float(self._usual[0][at]), float(self._usual[1][at])
            if max(mine, theirs) >= _RARELY:
                said.append(_told(kind, what, mine, theirs))
        return said

    def _z(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip((values - self._mean) / self._spread, -_CLIP, _CLIP)


def _function_words(texts: Sequence[str], language: str) -> frozenset[str]:
    if language == "en":
        return frozenset(_ENGLISH.split())
    if language == "zh":
        return frozenset(_CHINESE)
    seen = Counter(word for text in texts for word in set(_words(text)))
    return frozenset(word for word, _ in seen.most_common(_MOST_FREQUENT))


def _words(text: str) -> list[str]:
    return [token for token in _TOKEN.findall(normalise(text)) if token[0].isalnum()]


def _features(text: str, words: frozenset[str]) -> Features:
    """Function words and marks by the number of words, lengths as shares of sentences and words."""
    found = _words(text)
    total = max(1, len(found))
    spelled = sum(map(is_cjk, found)) * 2 <= len(found)
    features: Counter[str] = Counter()
    for word in found:
        if word in words:
            features[f"word:{word}"] += 1
        if spelled and not is_cjk(word):
            features[f"letters:{_bin(len(word), _LETTERS)}"] += 1
    # Marks are counted as they were written: normalising would turn "，" into ",".
    for mark in text:
        if mark in _MARKS or ord(mark) > 0x1F000:
            features["mark:emoji" if ord(mark) > 0x1F000 else f"mark:{mark}"] += 1
        elif mark == "\n":
            features["mark:new line"] += 1
    sizes = [len(_words(part)) for part in _SENTENCE_END.split(text)]
    sentences = [size for size in sizes if size]
    shares = {name: count / total for name, count in features.items()}
    for size in sentences:
        name = f"sentence:{_bin(size, _SENTENCES)}"
        shares[name] = shares.get(name, 0.0) + 1 / len(sentences)
    return shares


def _bin(size: int, bins: Sequence[tuple[int, int]]) -> str:
    low, high = next(((a, b) for a, b in bins if a <= size <= b), bins[-1])
    return f"{low} to {high}" if high < 100 else f"{low} or more"


def _told(kind: str, what: str, mine: float, theirs: float) -> str:
    """One difference in plain words; both are shares of words, or of sentences."""
    if kind == "sentence":
        return (
            f"{_share(mine)} of its sentences have {what} words, in plain answers {_share(theirs)}"
        )
    if kind == "letters":
        return f"{_share(mine)} of its words have {what} letters, in plain answers {_share(theirs)}"
    name = what if what in ("emoji", "new line") else f'"{what}"'
    if theirs < _RARELY:
        return f"uses {name}, which plain answers hardly do ({_rate(mine)})"
    if mine < _RARELY:
        return f"hardly uses {name}, which plain answers do ({_rate(theirs)})"
    if mine > theirs:
        return f"uses {name} {mine / theirs:.1f} times as often as plain answers ({_rate(mine)})"
    return f"uses {name} {theirs / mine:.1f} times less often than plain answers ({_rate(mine)})"


def _rate(share: float) -> str:
    return f"{share * 100:.1f} in 100 words"


def _share(value: float) -> str:
    return f"{value:.0%}"
