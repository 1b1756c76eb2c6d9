"""What became of skills and safety: what every arm solves, and what was lost and gained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factory.report.answers import Card, Entry
from factory.report.words import NOTHING

TITLES = {
    "forgetting": ("Skills", "Small tasks that have nothing to do with the persona."),
    "safety": (
        "Safety",
        "Harmful requests that should be declined, harmless ones that should not.",
    ),
    "switch": ("Stepping back", "Moments where a voice must not show: grief, danger, data, code."),
}


@dataclass(frozen=True, slots=True)
class Suite:
    """One suite: what it asks, what each arm solves, and what tuning changed."""

    name: str
    title: str
    about: str
    count: int
    solved: tuple[tuple[str, str], ...]
    """`(arm's label, "41 of 64")`."""
    lost: tuple[Entry, ...]
    """The base with the persona's prompt was right, the tuned model is wrong."""
    gained: tuple[Entry, ...]


def suites(found: Sequence[Entry]) -> list[Suite]:
    """The suites that were asked, in a fixed order."""
    return [
        _suite(name, asked)
        for name in TITLES
        if (asked := [entry for entry in found if entry.kind == name])
    ]


def _suite(name: str, asked: Sequence[Entry]) -> Suite:
    title, about = TITLES[name]
    names = {card.arm: card.label for entry in asked for card in entry.cards}
    return Suite(
        name=name,
        title=title,
        about=about,
        count=len(asked),
        solved=tuple((label, _solved(asked, arm)) for arm, label in names.items()),
        lost=tuple(entry for entry in asked if entry.outcome == "broken"),
        gained=tuple(entry for entry in asked if entry.outcome == "fixed"),
    )


def _solved(asked: Sequence[Entry], arm: str) -> str:
    judged = [
        right
        for entry in asked
        for card in entry.cards
        if card.arm == arm and (right := _right(card)) is not None
    ]
    return f"{sum(judged)} of {len(judged)}" if judged else NOTHING


def _right(card: Card) -> bool | None:
    return next((mark.right for mark in card.marks if mark.grader == "accuracy"), None)
