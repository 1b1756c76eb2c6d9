"""The style scorer on a clear pair, with 20 held-out questions, and on pairs without any difference.

    python benchmarks/style_scorer.py

The pair: the starter's everyday cards, each with a short and a usual answer to the same question. 25
random splits; the scorer learns from 60 other questions, about what a persona has, and scores both
answers to the 20 that were held out. A split counts if the exact sign test over them is significant
(one-sided, 5%). A/A: the same with the two answers of every question swapped at random, and with two
usual answers to one question, which differ in nothing either.

Beside it, without a bar: humorous against usual answers, which share a length; only the first six
words of each text, since the short answers have hardly more (personas of whole paragraphs are cut at
60); and Burrows's Delta.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from factory.starter.everyday import Card, cards
from factory.suite.burrows import Burrows
from factory.suite.style import StyleScorer

SPLITS, LEARNED, HELD = 25, 60, 20
BAR_CLEAR, BAR_EQUAL = 0.95, 0.08
Pair = tuple[str, str]
Scored = Callable[[list[Pair], list[str]], list[float]]


def significant(wins: int, losses: int) -> bool:
    """Whether so many wins are too many for chance."""
    from scipy.stats import binomtest

    return wins + losses > 0 and bool(
        binomtest(wins, wins + losses, alternative="greater").pvalue <= 0.05
    )


def char_ngrams(words: int | None) -> Scored:
    """The scorer of the scorecard."""

    def scored(learned: list[Pair], texts: list[str]) -> list[float]:
        sides = [a for a, _ in learned], [b for _, b in learned]
        return StyleScorer.fit(*sides, random_seed=1, words=words).score(texts)

    return scored


def burrows(learned: list[Pair], texts: list[str]) -> list[float]:
    """Burrows's Delta, which is reported beside it."""
    return Burrows.fit([a for a, _ in learned], [b for _, b in learned], "en").score(texts)


def hits(pairs: list[Pair], scored: Scored, *, swap: bool) -> tuple[int, float]:
    """In how many splits the test was significant, and how often the right answer scored higher."""
    found, right = 0, []
    for split in range(SPLITS):
        rng = random.Random(split)
        drawn = rng.sample(pairs, LEARNED + HELD)
        if swap:
            drawn = [(b, a) if rng.random() < 0.5 else (a, b) for a, b in drawn]
        learned, held = drawn[:LEARNED], drawn[LEARNED:]
        scores = scored(learned, [text for pair in held for text in pair])
        ahead = [a - b for a, b in zip(scores[::2], scores[1::2], strict=True)]
        wins, losses = sum(d > 0 for d in ahead), sum(d < 0 for d in ahead)
        found += significant(wins, losses)
        right.append(wins / HELD)
    return found, statistics.fmean(right)


def main() -> int:
    """Print the table; exit code 1 if the scorer of the scorecard misses a bar."""
    every: list[Card] = cards()
    clear = [(card.short[0], card.replies[0]) for card in every]
    funny = [(card.funny[0], card.replies[0]) for card in every]
    equal = [(card.replies[1], card.replies[0]) for card in every]
    good = True
    for name, scored, what, pairs, swap, bar in (
        (
            "character n-grams",
            char_ngrams(None),
            "concise against default",
            clear,
            False,
            BAR_CLEAR,
        ),
        ("character n-grams", char_ngrams(None), "A/A, labels swapped", clear, True, BAR_EQUAL),
        ("character n-grams", char_ngrams(None), "A/A, two usual answers", equal, True, BAR_EQUAL),
        ("character n-grams", char_ngrams(None), "humorous against default", funny, False, None),
        ("first six words", char_ngrams(6), "concise against default", clear, False, None),
        ("first six words", char_ngrams(6), "A/A, labels swapped", clear, True, None),
        ("Burrows's Delta", burrows, "concise against default", clear, False, None),
        ("Burrows's Delta", burrows, "humorous against default", funny, False, None),
        ("Burrows's Delta", burrows, "A/A, labels swapped", clear, True, None),
    ):
        found, right = hits(pairs, scored, swap=swap)
        share, required = found / SPLITS, ""
        if bar is not None:
            good &= share <= bar if swap else share >= bar
            required = f" (bar: at {'most' if swap else 'least'} {bar})"
        print(
            f"{name}, {what}: significant in {found} of {SPLITS} splits, {share:.2f}{required};"
            f" right order {right:.2f}",
            flush=True,
        )
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
