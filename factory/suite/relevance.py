"""Whether a reply is about its question, without a judge: is its own question the nearest of all?

Retrieval among the questions of one evaluation, by TF-IDF cosine: 1 if the own question is nearest,
else 1 / rank. Words weigh as much as they say about the subject, and the inverse document frequency
comes from the questions alone, so that a reply's rank depends on no other reply.

A question alone is a weak document: short answers hardly repeat its words. Measured on the starter's
cards (20 questions, 60 draws), mean reciprocal rank of a good reply, against its question alone and
against the question with another good answer: 0.62 to 0.74 (usual answers), 0.42 to 0.74 (short),
0.61 to 0.82 (humorous); of a reply to another question 0.15 in every case.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from factory.contracts import Case
from factory.rows.words import BIGRAM, is_cjk, tokens, weight

VERSION = 1
"""Part of a scorecard's comparability."""

_DIGITS = 9
"""Similarities that are equal to so many decimal places are a tie."""


def document(case: Case) -> str:
    """What a reply to this case is looked for in: the conversation's questions and what is right."""
    asked = [message["content"] for message in case.messages if message["role"] == "user"]
    return "\n".join([*asked, *_right(case)])


def _right(case: Case) -> list[str]:
    known = [case.reference] if case.reference else []
    match case.expect:
        case {"options": dict(options), "choice": str(letter)}:
            known.append(str(options[letter]))
        case {"number": float() | int() as number}:
            known.append(f"{number:g}")
        case None | {}:
            pass
        case str(text):
            known.append(text)
        case texts:
            known.extend(map(str, texts))
    return known


def chance(count: int) -> float:
    """Mean reciprocal rank of random answers to so many questions: the harmonic number over the count."""
    return sum(1 / rank for rank in range(1, count + 1)) / count if count else 0.0


def ranks(documents: Sequence[str], replies: Sequence[str]) -> list[float]:
    """Reciprocal rank of each reply's own document among all documents.

    Args:
        documents: One for each question; see `document`.
        replies: One for each document, in the same order.

    Returns:
        Values in (0, 1]. Documents that are equally near share their mean rank; an empty reply has the
        lowest rank there is.
    """
    found = reciprocal_ranks(documents, replies)
    return [float(value) for value in np.diag(found)]


def reciprocal_ranks(documents: Sequence[str], replies: Sequence[str]) -> NDArray[np.float64]:
    """For every reply (row) the reciprocal rank of every document (column)."""
    from scipy.stats import rankdata

    if not replies:
        return np.zeros((0, len(documents)))
    near = np.round(_similarities(documents, replies), _DIGITS)
    found = 1 / np.asarray(rankdata(-near, axis=1, method="average"))
    for row, reply in enumerate(replies):
        if not reply.strip():
            found[row] = 1 / len(documents)
    return np.asarray(found, dtype=np.float64)


def _similarities(documents: Sequence[str], replies: Sequence[str]) -> NDArray[np.float64]:
    read = [_terms(text) for text in documents]
    having = Counter(term for terms in read for term in terms)
    order = {term: at for at, term in enumerate(having)}
    rarity = np.array([math.log((1 + len(read)) / n) * _says(term) for term, n in having.items()])
    mine = _table([_terms(text) for text in replies], order) * rarity
    theirs = _table(read, order) * rarity
    # A reply's own length changes nothing about the order of documents, so only these are scaled.
    lengths = np.linalg.norm(theirs, axis=1, keepdims=True)
    return np.asarray(mine @ (theirs / np.maximum(lengths, 1e-12)).T)


def _table(texts: Sequence[Mapping[str, int]], order: Mapping[str, int]) -> NDArray[np.float64]:
    table = np.zeros((len(texts), len(order)))
    for row, terms in enumerate(texts):
        for term, count in terms.items():
            if term in order:
                table[row, order[term]] = 1 + math.log(count)
    return table


def _terms(text: str) -> Counter[str]:
    words = tokens(text)
    pairs = [a + b for a, b in pairwise(words) if is_cjk(a) and is_cjk(b)]
    return Counter([*words, *pairs])


def _says(term: str) -> float:
    return BIGRAM if len(term) == 2 and is_cjk(term[0]) else weight(term)
