"""Scores how much a text sounds like the persona rather than like a plain answer, without a judge.

Lower-cased character 1- to 4-grams, TF-IDF, logistic regression: the long-standing baseline of
authorship attribution (the PAN shared tasks; Stamatatos 2009, doi:10.1002/asi.21001). Its logits add
up over the characters of a text, so every score can be shown on the text itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from factory.rows.words import CJK
from factory.suite.marks import PLACE, Marks, strongest

LEAST = 8
"""Fewest texts of a side from which anything is learned."""

_FOLDS = 5
_SIZES = (1, 2, 3, 4)
"""Single characters are for Chinese, where one is a word: with them the AUC between the two Chinese
personas rises from 0.64 to 0.79, and the English ones lose nothing."""
_STRENGTH = 10.0
"""Inverse of the L2 penalty, for rows of length one."""
_SHOWN = 12
"""Most places of a text that are highlighted."""
_FAINT = 0.2
"""Places that weigh less than this share of the heaviest one are not highlighted."""

_WORD = re.compile(rf"[{CJK}]|(?:(?![{CJK}])\S)+")


class TooFewTexts(ValueError):
    """There are not enough texts to learn a style from."""


class Span(NamedTuple):
    """A place of a text and what it adds to the score; above 0 speaks for the persona."""

    start: int
    end: int
    weight: float


def first_words(text: str, count: int) -> str:
    """The beginning of a text, so many words long; a CJK character is a word of its own."""
    seen = 0
    for match in _WORD.finditer(text):
        seen += any(map(str.isalnum, match[0]))
        if seen > count:
            return text[: match.start()].rstrip()
    return text


@dataclass(frozen=True, slots=True)
class StyleScorer:
    """Tells persona answers from plain ones; made by `fit`."""

    auc: float
    """Area under the ROC curve on its own texts, cross-fitted: 0.5 is chance, 1 is perfect."""
    midpoint: float
    """Half-way between the mean scores of both sides, cross-fitted; in logits."""
    words: int | None
    """Words of every text that are looked at; None for all."""
    _texts: tuple[list[str], list[str]]
    _vectors: Any
    _weights: NDArray[np.float64]
    _intercept: float

    @classmethod
    def fit(
        cls,
        persona: Sequence[str],
        plain: Sequence[str],
        *,
        random_seed: int,
        words: int | None = None,
    ) -> StyleScorer:
        """Learn from answers of both sides.

        Where both sides are equally long, their texts are taken to answer the same questions: then
        both answers to one question are in the same fold, and an empty one takes its partner out.

        Args:
            persona: Answers in the persona's voice.
            plain: Answers without it.
            random_seed: Decides the folds.
            words: Look at the first so many words only, so that length cannot pass for style.

        Raises:
            TooFewTexts: If a side has fewer than `LEAST` texts with anything in them.
        """
        paired = len(persona) == len(plain)
        if paired:
            both = [pair for pair in zip(persona, plain, strict=True) if all(map(str.strip, pair))]
            persona, plain = [a for a, _ in both], [b for _, b in both]
        sides = [[t for t in side if t.strip()] for side in (persona, plain)]
        if min(map(len, sides)) < LEAST:
            raise TooFewTexts(
                f"{len(sides[0])} answers of the persona and {len(sides[1])} plain ones:"
                f" a style can be learned from {LEAST} of each at least"
            )
        mine, theirs = ([_lower(t, words) for t in side] for side in sides)
        rng = np.random.default_rng(random_seed)
        folds = rng.permutation(np.arange(len(mine)) % _FOLDS)
        others = folds if paired else rng.permutation(np.arange(len(theirs)) % _FOLDS)
        auc, midpoint = _cross_fitted((mine, theirs), (folds, others))
        vectors, model = _trained(mine, theirs)
        weights = np.asarray(model.coef_[0], dtype=np.float64)
        intercept = float(model.intercept_[0])
        return cls(auc, midpoint, words, (mine, theirs), vectors, weights, intercept)

    def score(self, texts: Sequence[str]) -> list[float]:
        """Logit of every text: the higher, the more like the persona."""
        if not texts:
            return []
        rows = self._vectors.transform([_lower(text, self.words) for text in texts])
        return [float(value) for value in rows @ self._weights + self._intercept]

    def weights(self, text: str) -> list[Span]:
        """The words, characters and marks of a text that weigh most, in order of place."""
        lowered = _lower(text, self.words)
        adds = self._adds(lowered)
        found = [
            Span(m.start(), m.end(), round(float(adds[m.start() : m.end()].sum()), 4))
            for m in PLACE.finditer(lowered)
            if m[0] != "\n"
        ]
        heaviest = sorted(found, key=lambda span: -abs(span.weight))[:_SHOWN]
        least = _FAINT * abs(heaviest[0].weight) if heaviest else 0.0
        return sorted(span for span in heaviest if span.weight and abs(span.weight) >= least)

    def features(self, count: int) -> dict[str, list[str]]:
        """What marks each side: words and signs of at least two of its texts, strongest first.

        Chinese, Japanese and Korean are shown in pairs of characters; a line break is `new line`.
        """
        persona, plain = (Marks.of(texts, self._adds) for texts in self._texts)
        return {
            "persona": strongest(persona, plain, 1, count),
            "plain": strongest(plain, persona, -1, count),
        }

    def _adds(self, lowered: str) -> NDArray[np.float64]:
        """What each character adds to the logit: all of them add up to it.

        An n-gram's part is split over its visible characters; what is left, the intercept and blanks,
        over all of them, so that what is usual in both sides' texts adds about nothing.
        """
        visible = np.array([float(c != " ") for c in lowered])
        adds = np.zeros(len(lowered))
        if not visible.any():
            return adds
        row = self._vectors.transform([lowered])
        parts = dict(zip(row.indices, row.data * self._weights[row.indices], strict=True))
        index, counts = self._vectors.vocabulary_, Counter(_grams(lowered))
        rest = self._intercept
        for size in _SIZES:
            grams = [lowered[i : i + size] for i in range(len(lowered) - size + 1)]
            if not grams:
                break
            worth = np.array([parts.get(index.get(gram), 0.0) / counts[gram] for gram in grams])
            seen = np.lib.stride_tricks.sliding_window_view(visible, size).sum(axis=1)
            rest += float(worth[seen == 0].sum())
            each = np.where(seen > 0, worth / np.maximum(seen, 1), 0.0)
            for offset in range(size):
                adds[offset : offset + len(each)] += each
        return np.asarray(visible * adds + visible * rest / visible.sum())


def _cross_fitted(
    sides: tuple[list[str], list[str]], folds: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> tuple[float, float]:
    """Mean AUC over the folds, and the midpoint of the scores of texts that were not learned from."""
    from sklearn.metrics import roc_auc_score

    areas: list[float] = []
    scores: tuple[list[float], list[float]] = ([], [])
    both = list(zip(sides, folds, strict=True))
    for fold in range(_FOLDS):
        held = [[t for t, f in zip(*side, strict=True) if f == fold] for side in both]
        rest = [[t for t, f in zip(*side, strict=True) if f != fold] for side in both]
        vectors, model = _trained(rest[0], rest[1])
        found = [model.decision_function(vectors.transform(side)).tolist() for side in held]
        labels = [1] * len(held[0]) + [0] * len(held[1])
        areas.append(float(roc_auc_score(labels, found[0] + found[1])))
        scores[0].extend(found[0])
        scores[1].extend(found[1])
    midpoint = (float(np.mean(scores[0])) + float(np.mean(scores[1]))) / 2
    return float(np.mean(areas)), midpoint


def _trained(persona: Sequence[str], plain: Sequence[str]) -> tuple[Any, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectors = TfidfVectorizer(analyzer=_grams, sublinear_tf=True)
    rows = vectors.fit_transform([*persona, *plain])
    # Ten times as fast here as the usual solver: there are far more n-grams than texts.
    model = LogisticRegression(
        C=_STRENGTH, class_weight="balanced", solver="newton-cg", max_iter=1000
    )
    return vectors, model.fit(rows, [1] * len(persona) + [0] * len(plain))


def _grams(text: str) -> list[str]:
    return [text[i : i + size] for size in _SIZES for i in range(len(text) - size + 1)]


def _lower(text: str, words: int | None) -> str:
    """The text as it is read: cut, and lower-cased character by character, so that places stay."""
    text = first_words(text, words) if words is not None else text
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
