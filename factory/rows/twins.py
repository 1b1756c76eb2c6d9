"""Finds rows that repeat an earlier row, contradict it, or give a held-out question away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from factory.rows.examine import Entry
from factory.rows.private import mask
from factory.rows.similarity import (
    Index,
    agree,
    contains,
    likeness,
    read,
    same_words,
    similarity,
    swapped,
)

_LEAK = 0.7
"""Likeness to a held-out question that is too much, unless a word that matters is another."""
_SAME_ANSWER = 0.9
_SHOWN = 60
"""Characters of a question in a detail."""

AnswerOf = Callable[[Entry], str]


def reject_leaks(entries: Sequence[Entry], questions: Sequence[str]) -> None:
    """Reject rows that ask a held-out question, reworded or inside a longer text."""
    if not questions or not entries:
        return
    asked = [read(question) for question in questions]
    rows = [read(entry.ask) for entry in entries]
    index = Index([*rows, *asked])
    for held, others, values in index.pairs(_LEAK, np.arange(len(entries), index.count)):
        for at in np.flatnonzero(others < len(entries)).tolist():
            row, number = int(others[at]), int(held[at]) - len(entries)
            # order and negation are no excuse here: "tea or coffee" gives "coffee or tea" away
            if not swapped(rows[row], asked[number]):
                detail = f"{values[at]:.2f} like the held-out question"
                entries[row].reject("leak", f"{detail} {_quoted(questions[number])}")
    # the index is no help here: a long text is hardly like a question that it holds
    for entry, text in zip(entries, rows, strict=True):
        for question, wanted in zip(questions, asked, strict=True):
            if contains(text, wanted):
                entry.reject("leak", f"holds the held-out question {_quoted(question)}")


def reject_repeats(entries: Sequence[Entry], near_duplicate: float, answer_of: AnswerOf) -> None:
    """Reject later rows that ask what an earlier kept row asks.

    Reasons: `near_duplicate` if they also say the same or the question is only close,
    `contradiction` if the question is the same and the answer clearly another one.

    Args:
        entries: Rows in source order, none rejected yet.
        near_duplicate: Likeness of two questions from which they count as one.
        answer_of: The last answer of a row.
    """
    if not entries:
        return
    index = Index([read(entry.ask) for entry in entries])
    alive = np.ones(len(entries), bool)
    for rows, others, _ in index.pairs(near_duplicate):
        earlier = (others < rows) & alive[others]
        for row, other in zip(rows[earlier].tolist(), others[earlier].tolist(), strict=True):
            if not (alive[row] and alive[other]):
                continue
            verdict = _compare(entries[other], entries[row], near_duplicate, answer_of)
            if verdict:
                entries[row].reject(*verdict)
                alive[row] = False


def _compare(
    first: Entry, later: Entry, near_duplicate: float, answer_of: AnswerOf
) -> tuple[str, str] | None:
    if first.system != later.system:
        return None
    asked, asks = read(first.ask), read(later.ask)
    value = likeness(asked, asks)
    said, says = read(answer_of(first)), read(answer_of(later))
    same = agree(said, says)
    if value >= near_duplicate:
        if not same and same_words(asked, asks):
            detail = f"asks the same as {first.id} ({_quoted(first.ask)}) and answers differently"
            return "contradiction", detail
        return "near_duplicate", f"{value:.2f} like {first.id} ({_quoted(first.ask)})"
    if same and similarity(said, says) >= _SAME_ANSWER:
        detail = f"a variant of {first.id} ({_quoted(first.ask)}) with the same answer"
        return "near_duplicate", detail
    return None


def _quoted(text: str) -> str:
    shown = " ".join(mask(text).split())
    return f'"{shown}"' if len(shown) <= _SHOWN else f'"{shown[:_SHOWN]}..."'
