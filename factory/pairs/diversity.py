"""How varied the accepted pairs are: figures that do not grow or shrink with the length of the set."""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from statistics import fmean
from typing import Any

import numpy as np

from factory.pairs.tics import closer, opener, phrases
from factory.rows.private import mask
from factory.rows.similarity import Index, Numbers, read
from factory.rows.words import count_words, tokens

WINDOW_BYTES = 8192
"""Text that is compressed at a time; a longer text always compresses better."""
WINDOW_WORDS = 500
"""Words among which distinct ones are counted; the share falls with every further word."""

_NEAREST = 10
_HABITS = 5
_SHOWN = 80
"""Characters of a question that are shown."""
_BINS = (15, 30, 60, 120)
"""Last number of words of every bin but the last."""
_THRESHOLDS = (0.5, 0.25, 0.02)
"""Few pairs are very alike: look among those first, and lower only if there are too few."""

Pair = tuple[str, str, str]
"""Question, answer and register."""


def figures(pairs: Sequence[Pair]) -> dict[str, Any]:
    """The figures of the report.

    Args:
        pairs: Question, answer and register of every accepted pair.

    Returns:
        `compression` (bytes per compressed byte; higher is more repetitive), `distinct_1` and
        `distinct_2` (share of words, and of two words in a row, that are not repeats),
        `self_repetition` (share of answers with a phrase that two others have), `openers` and
        `closers` (the most frequent, with `count` and `share`), `nearest` (the most alike
        questions) and `lengths` (answers by register and number of words). Only `pairs`, if there
        are none.
    """
    if not pairs:
        return {"pairs": 0}
    answers = [answer for _, answer, _ in pairs]
    return {
        "pairs": len(pairs),
        "compression": round(compression(answers), 3),
        "distinct_1": round(distinct(answers, 1), 3),
        "distinct_2": round(distinct(answers, 2), 3),
        "self_repetition": round(self_repetition(answers), 3),
        "openers": _frequent(opener(tokens(answer)) for answer in answers),
        "closers": _frequent(closer(tokens(answer)) for answer in answers),
        "nearest": nearest([question for question, _, _ in pairs]),
        "lengths": _lengths(pairs),
    }


def compression(texts: Sequence[str]) -> float:
    """Bytes per compressed byte, over windows of equal size; varied prose has about 2."""
    whole = "\n".join(texts).encode("utf-8")
    starts = range(0, max(1, len(whole) - WINDOW_BYTES + 1), WINDOW_BYTES)
    parts = [whole[at : at + WINDOW_BYTES] for at in starts]
    return fmean(len(part) / len(zlib.compress(part, 9)) for part in parts)


def distinct(texts: Iterable[str], size: int) -> float:
    """Share of runs of `size` words that are not repeats, over windows of equal length."""
    shares = []
    for words in _windows(word for text in texts for word in tokens(text)):
        runs = list(zip(*(words[start:] for start in range(size)), strict=False))
        shares.append(len(set(runs)) / len(runs) if runs else 1.0)
    return fmean(shares)


def _windows(words: Iterable[str]) -> Iterator[list[str]]:
    """Windows of exactly `WINDOW_WORDS`; what is left is one only if there is no other."""
    waiting = iter(words)
    part = list(islice(waiting, WINDOW_WORDS))
    yield part
    while len(part := list(islice(waiting, WINDOW_WORDS))) == WINDOW_WORDS:
        yield part


def self_repetition(texts: Sequence[str]) -> float:
    """Share of texts with a phrase that says something and that at least two others have."""
    # eight bytes a phrase, sorted: a dictionary of them all would be far larger
    marks = [np.array(sorted({_mark(p) for p in phrases(tokens(t))}), np.uint64) for t in texts]
    every, counts = np.unique(np.concatenate(marks), return_counts=True)
    shared = every[counts >= 3]
    return fmean(bool(np.isin(found, shared).any()) for found in marks)


def _mark(phrase: str) -> int:
    return int.from_bytes(hashlib.blake2b(phrase.encode(), digest_size=8).digest())


def nearest(questions: Sequence[str]) -> list[dict[str, Any]]:
    """The most alike pairs of questions, as `{"similarity", "texts"}`, the worst first."""
    index = Index([read(question) for question in questions])
    worst: list[tuple[float, int, int]] = []
    for threshold in _THRESHOLDS:
        worst = []
        for left, right, value in index.pairs(threshold):
            once: Numbers = np.flatnonzero(left < right)
            top = once[np.argsort(-value[once], kind="stable")[:_NEAREST]]
            worst += [(float(value[k]), int(left[k]), int(right[k])) for k in top]
            worst = sorted(worst, key=lambda pair: (-pair[0], pair[1], pair[2]))[:_NEAREST]
        if len(worst) == _NEAREST:
            break
    return [
        {
            "similarity": round(value, 3),
            "texts": [mask(questions[one])[:_SHOWN], mask(questions[other])[:_SHOWN]],
        }
        for value, one, other in worst
    ]


def _frequent(habits: Iterable[str]) -> list[dict[str, Any]]:
    counted = Counter(habits)
    return [
        {"text": text, "count": count, "share": round(count / counted.total(), 3)}
        for text, count in counted.most_common(_HABITS)
    ]


def _lengths(pairs: Sequence[Pair]) -> dict[str, dict[str, int]]:
    """Answers by register and number of words: `{"normal": {"1-15": 12, ...}, ...}`."""
    names = [f"{low + 1}-{high}" for low, high in zip((0, *_BINS), _BINS, strict=False)]
    names.append(f"over {_BINS[-1]}")
    table: dict[str, dict[str, int]] = {}
    for _, answer, register in pairs:
        row = table.setdefault(register, dict.fromkeys(names, 0))
        row[names[sum(count_words(answer) > end for end in _BINS)]] += 1
    return table
