"""An answer cut into pieces by what the style scorer found typical in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

Tone = Literal["", "persona", "persona strong", "plain", "plain strong"]

STRONG = 0.5
"""Share of the strongest weight of an answer from which a piece counts as strong."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of characters of one tone; the pieces of an answer join to the answer."""

    text: str
    tone: Tone


def pieces(text: str, spans: Sequence[Sequence[float]], offset: int = 0) -> tuple[Piece, ...]:
    """Cut a text at the edges of its highlights.

    Args:
        text: What is shown.
        spans: `[start, end, weight]`, half-open, in characters; where they overlap, weights add up.
            A weight above zero speaks for the persona, below zero for plain answers.
        offset: Characters that were cut from the front of the text the spans belong to.

    Returns:
        Pieces in order. Spans outside the text are left out.
    """
    weights = [0.0] * len(text)
    for start, end, weight in spans:
        for i in range(max(0, int(start) - offset), min(len(text), int(end) - offset)):
            weights[i] += weight
    strongest = max(map(abs, weights), default=0.0)
    tones = [_tone(weight, strongest) for weight in weights]
    cut, at = [], 0
    for tone, run in groupby(tones):
        length = len(list(run))
        cut.append(Piece(text[at : at + length], tone))
        at += length
    return tuple(cut)


def _tone(weight: float, strongest: float) -> Tone:
    if not weight:
        return ""
    strong = abs(weight) >= STRONG * strongest
    if weight > 0:
        return "persona strong" if strong else "persona"
    return "plain strong" if strong else "plain"
