"""Keeps habits out of the set: openings, endings and catch-phrases that too many answers share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from factory.rows.words import CONTENT, FUNCTION, is_cjk, tokens, weight

_BUCKET = 1000
"""Answers after which phrases that were hardly seen are forgotten, so that memory stays flat."""


class Lengths(NamedTuple):
    """How many words make an opening, an ending and a phrase."""

    opener: int
    closer: int
    phrase: int


_WORDS = Lengths(3, 4, 4)
_CHARACTERS = Lengths(5, 6, 6)
"""The same in Chinese characters."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Largest share of the answers that may have one habit; `least` answers may in any case."""

    opener: float = 0.05
    closer: float = 0.05
    phrase: float = 0.08
    least: int = 3


def lengths(words: Sequence[str]) -> Lengths:
    """How long the habits of a text are, for its script."""
    return _CHARACTERS if sum(map(is_cjk, words)) * 2 > len(words) else _WORDS


def opener(words: Sequence[str]) -> str:
    """How an answer begins."""
    return " ".join(words[: lengths(words).opener])


def closer(words: Sequence[str]) -> str:
    """How an answer ends."""
    return " ".join(words[-lengths(words).closer :])


def phrases(words: Sequence[str]) -> Iterator[str]:
    """Every phrase that says something: runs of words with at least two that carry meaning."""
    size = lengths(words).phrase
    shifted = [islice(words, start, None) for start in range(size)]
    for run in zip(*shifted, strict=False):
        if _says_something(run):
            yield " ".join(run)


def _says_something(run: Sequence[str]) -> bool:
    if is_cjk(run[0]):
        return sum(weight(word) > FUNCTION for word in run) >= len(run) - 1
    return sum(weight(word) == CONTENT for word in run) >= 2


class Tics:
    """Counts the habits of the accepted answers.

    Args:
        limits: How often a habit may occur.
        own: The persona's example answers; a habit that two of them and a third of them share is
            the persona's own and not counted.
        required: Texts that every answer must have by the persona's rules; not counted either.
    """

    def __init__(
        self, limits: Limits, own: Sequence[str] = (), required: Sequence[str] = ()
    ) -> None:
        self.limits = limits
        self.count = 0
        self._required = [f" {' '.join(tokens(text))} " for text in required]
        self._openers: Counter[str] = Counter()
        self._closers: Counter[str] = Counter()
        self._phrases: dict[str, int] = {}
        read = [tokens(text) for text in own]
        least = max(2, len(own) / 3)
        self._own = {
            habit
            for habits in (map(opener, read), map(closer, read), _each(map(phrases, read)))
            for habit, count in Counter(habits).items()
            if count >= least
        }

    def broken(self, text: str) -> tuple[str, str] | None:
        """The reason code and detail of a habit this answer would make too frequent, or None."""
        words = tokens(text)
        habits: tuple[tuple[str, Iterable[str], float], ...] = (
            ("repeated_opener", [opener(words)], self.limits.opener),
            ("repeated_closer", [closer(words)], self.limits.closer),
            ("repeated_phrase", phrases(words), self.limits.phrase),
        )
        for reason, found, share in habits:
            most = max(self.limits.least, int(share * (self.count + 1)))
            for habit in found:
                if not self._allowed(habit) and (seen := self._seen(reason, habit)) >= most:
                    return reason, f'"{habit}" is in {seen} of {self.count} answers already'
        return None

    def add(self, text: str) -> None:
        """Count an accepted answer."""
        words = tokens(text)
        self.count += 1
        self._openers[opener(words)] += 1
        self._closers[closer(words)] += 1
        # lossy counting: a phrase met late is taken to have been met before, once a bucket
        floor = self.count // _BUCKET
        for phrase in set(phrases(words)):
            self._phrases[phrase] = self._phrases.get(phrase, floor) + 1
        if self.count % _BUCKET == 0:
            self._phrases = {p: seen for p, seen in self._phrases.items() if seen > floor}

    def forget(self, text: str) -> None:
        """Take back an answer that was counted."""
        words = tokens(text)
        self.count -= 1
        self._openers[opener(words)] -= 1
        self._closers[closer(words)] -= 1
        for phrase in set(phrases(words)) & self._phrases.keys():
            self._phrases[phrase] -= 1

    def _allowed(self, habit: str) -> bool:
        padded = f" {habit} "
        return habit in self._own or any(t in padded or padded in t for t in self._required)

    def _seen(self, reason: str, habit: str) -> int:
        match reason:
            case "repeated_opener":
                return self._openers[habit]
            case "repeated_closer":
                return self._closers[habit]
            case _:
                return self._phrases.get(habit, 0)


def _each(texts: Iterable[Iterable[str]]) -> Iterator[str]:
    """The phrases of several texts, each once a text."""
    for found in texts:
        yield from set(found)
