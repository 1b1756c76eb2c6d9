"""The answers of all arms side by side, ready to be shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from factory.report.facts import ARM_LABELS, BuildReport, arms
from factory.report.words import spoken


@dataclass(frozen=True, slots=True)
class Mark:
    """What one grader says about one answer."""

    grader: str
    right: bool | None
    """None for a value between wrong and right."""
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Card:
    """One arm's answer."""

    arm: str
    label: str
    text: str
    tokens: int
    cut_off: bool
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One question with the answers of all arms side by side."""

    id: str
    is_row: bool
    ask: str
    history: tuple[tuple[str, str], ...]
    """`(role, text)` of the earlier turns."""
    expect: str
    reference: str
    cards: tuple[Card, ...]
    outcome: Literal["fixed", "broken", ""]
    """Whether tuning made a wrong answer right or a right one wrong."""


def entries(report: BuildReport) -> list[Entry]:
    """All questions and rows, in the order they were asked."""
    names = arms(report)
    return [_entry(answer, names) for answer in report.answers]


def _entry(answer: dict[str, Any], names: list[str]) -> Entry:
    given = answer.get("answers") or {}
    cards = tuple(_card(arm, given[arm]) for arm in names if arm in given)
    return Entry(
        id=answer.get("id", ""),
        is_row=answer.get("kind") == "row",
        ask=answer.get("ask", ""),
        history=tuple(
            (turn.get("role", ""), turn.get("content", "")) for turn in answer.get("history") or []
        ),
        expect=_expected(answer.get("expect")),
        reference=answer.get("reference") or "",
        cards=cards,
        outcome=_outcome(cards) if answer.get("expect") else "",
    )


def _card(arm: str, answer: dict[str, Any]) -> Card:
    return Card(
        arm=arm,
        label=ARM_LABELS.get(arm, arm),
        text=(answer.get("text") or "").strip("\n"),
        tokens=int(answer.get("tokens") or 0),
        cut_off=answer.get("finish_reason") == "length",
        marks=tuple(_mark(name, grade) for name, grade in (answer.get("grades") or {}).items()),
    )


def _mark(grader: str, grade: dict[str, Any]) -> Mark:
    value = grade.get("value")
    if value is None:  # ungraded is not zero (law 8)
        right, text = None, "not graded"
    else:
        right = True if value >= 1 else False if value <= 0 else None
        text = f"{100 * value:.0f}%"
    return Mark(spoken(grader), right, text, grade.get("reason") or "")


def _expected(expect: Any) -> str:
    if isinstance(expect, dict):
        # Not shortened like a measurement: this is what the answer was held to.
        text, off = f"{expect['number']:.12g}", expect.get("tolerance")
        return f"{text} ± {off:.12g}" if off else text
    if isinstance(expect, str):
        return expect
    return " / ".join(expect or [])


def _outcome(cards: tuple[Card, ...]) -> Literal["fixed", "broken", ""]:
    right = {
        card.arm: mark.right for card in cards for mark in card.marks if mark.grader == "accuracy"
    }
    match right.get("base"), right.get("tuned"):
        case False, True:
            return "fixed"
        case True, False:
            return "broken"
    return ""
