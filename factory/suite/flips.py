"""Right and wrong answers to closed questions, made from what is expected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from factory.contracts import Case
from factory.graders.closed import matches
from factory.rows.words import tokens

_NOTHING = "\u2026"
"""An answer that says nothing."""


def right_answers(case: Case) -> Iterator[str]:
    """Answers that must be accepted: every accepted text, or what is expected, written out."""
    match case.expect:
        case {"number": float() | int() as number}:
            yield _written(float(number))
        case {"choice": str(letter)}:
            yield letter
        case {"pattern": _} | {"json_schema": _}:
            # nothing that fits can be made up, but a given answer should
            if case.reference:
                yield case.reference
        case {}:
            return
        case None:
            return
        case str(text):
            yield text
        case texts:
            yield from map(str, texts)


def wrong_answers(case: Case, others: Sequence[Case]) -> Iterator[str]:
    """An answer that must be rejected: another number, option or question's answer, broken JSON.

    Args:
        case: The question.
        others: All closed questions, this one among them.
    """
    match case.expect:
        case {"number": float() | int() as number, **more}:
            # of a large number 1 more may be rounding
            step = 1 + abs(number) // 1000 + float(str(more.get("tolerance", 0.0)))
            yield _written(float(number) + step)
        case {"choice": str(letter), "options": dict(options)}:
            yield from [other for other in options if other != letter][:1]
        case {"pattern": str(pattern)}:
            if not matches(_NOTHING, pattern):  # it may say no more than what must be absent
                yield _NOTHING
        case {"json_schema": _}:
            yield '{"broken": '
        case {}:
            return
        case _:
            yield from list(_other_texts(case, others))[:1]


def _other_texts(case: Case, others: Sequence[Case]) -> Iterator[str]:
    """Accepted answers of the next questions, unless they contain one of this question's own."""
    own = [set(tokens(text)) for text in right_answers(case)]
    at = next(i for i, other in enumerate(others) if other is case)
    for other in (*others[at + 1 :], *others[:at]):
        if other.expect is None or isinstance(other.expect, Mapping):
            continue
        for text in right_answers(other):
            words = set(tokens(text))
            if not any(mine <= words or words <= mine for mine in own):
                yield text


def _written(number: float) -> str:
    """A number as people write it; never with three decimals, which some languages read as thousands."""
    text = np.format_float_positional(number, trim="-")
    return text + "0" if len(text.partition(".")[2]) == 3 else text
