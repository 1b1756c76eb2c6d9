"""The answers of all arms side by side, ready to be shown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from factory.report.facts import BuildReport, labels
from factory.report.highlight import Piece, pieces
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
    """The most likely answer."""
    pieces: tuple[Piece, ...]
    """The same, cut by what is typical of the persona and of plain answers."""
    samples: tuple[str, ...]
    """Answers drawn at the serving temperature."""
    tokens: int
    cut_off: bool
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One question with the answers of all arms side by side."""

    id: str
    kind: str
    """question, row, or the suite it comes from."""
    ask: str
    history: tuple[tuple[str, str], ...]
    """`(role, text)` of the earlier turns."""
    expect: str
    reference: str
    cards: tuple[Card, ...]
    outcome: Literal["fixed", "broken", ""]
    """Whether tuning made a wrong answer right or a right one wrong; in the suites, which the base is
    asked only with the persona's prompt, beside that."""

    @property
    def own(self) -> bool:
        """Whether it is the persona's own question or row, not a suite's."""
        return self.kind in ("question", "row")

    def text(self, arm: str) -> str:
        """What one arm answered; empty if it was not asked."""
        return next((card.text for card in self.cards if card.arm == arm), "")


def entries(report: BuildReport) -> list[Entry]:
    """Everything that was asked, in order."""
    names = labels(report)
    return [_entry(answer, names) for answer in report.answers]


def telling(found: Sequence[Entry], most: int) -> list[Entry]:
    """The entries a person learns most from: what broke, what was fixed, open questions."""
    rank = {"broken": 0, "fixed": 1, "": 2}
    ranked = sorted(
        (entry for entry in found if entry.own),
        key=lambda entry: (rank[entry.outcome], entry.kind == "row", bool(entry.expect)),
    )
    # Not only repairs: half of the room belongs to the others, where the voice shows.
    flipped = [entry for entry in ranked if entry.outcome]
    others = [entry for entry in ranked if not entry.outcome]
    room = max((most + 1) // 2, most - len(others))
    return (flipped[:room] + others)[:most]


def _entry(answer: Mapping[str, Any], names: Mapping[str, str]) -> Entry:
    given = answer.get("answers") or {}
    cards = tuple(_card(arm, label, given[arm]) for arm, label in names.items() if arm in given)
    return Entry(
        id=answer.get("id", ""),
        kind=answer.get("kind", ""),
        ask=answer.get("ask", ""),
        history=tuple(
            (turn.get("role", ""), turn.get("content", "")) for turn in answer.get("history") or []
        ),
        expect=expected(answer.get("expect")),
        reference=answer.get("reference") or "",
        cards=cards,
        outcome=_outcome(cards) if answer.get("expect") else "",
    )


def _card(arm: str, label: str, answer: Mapping[str, Any]) -> Card:
    whole = answer.get("text") or ""
    text = whole.strip("\n")
    before = len(whole) - len(whole.lstrip("\n"))
    return Card(
        arm=arm,
        label=label,
        text=text,
        pieces=pieces(text, answer.get("highlights") or [], before),
        samples=tuple(sample.strip("\n") for sample in answer.get("samples") or []),
        tokens=int(answer.get("tokens") or 0),
        cut_off=answer.get("finish_reason") == "length",
        marks=tuple(_mark(name, grade) for name, grade in (answer.get("grades") or {}).items()),
    )


def _mark(grader: str, grade: Mapping[str, Any]) -> Mark:
    value = grade.get("value")
    if value is None:  # ungraded is not zero (law 8)
        right, text = None, "not graded"
    else:
        right = True if value >= 1 else False if value <= 0 else None
        text = f"{100 * value:.0f}%"
    return Mark(spoken(grader), right, text, grade.get("reason") or "")


def expected(expect: Any) -> str:
    """What an answer was held to, in words; empty for an open question."""
    match expect:
        case None:
            return ""
        case str():
            return expect
        case {"number": wanted}:
            # Not shortened like a measurement: this is what the answer was held to.
            off = expect.get("tolerance")
            return f"{wanted:.12g} ± {off:.12g}" if off else f"{wanted:.12g}"
        case {"choice": letter, "options": options}:
            return f"{letter}: {options.get(letter, '')}".rstrip(": ")
        case {"pattern": pattern}:
            return f"matches {pattern}"
        case {"json_schema": schema}:
            return f"JSON that follows {json.dumps(schema, ensure_ascii=False)}"
        case {"refusal": refusal}:
            return "a refusal" if refusal else "an answer, not a refusal"
        case _:
            return " / ".join(expect)


def _outcome(cards: Sequence[Card]) -> Literal["fixed", "broken", ""]:
    right = {
        card.arm: mark.right for card in cards for mark in card.marks if mark.grader == "accuracy"
    }
    match right.get("base", right.get("prompted")), right.get("tuned"):
        case False, True:
            return "fixed"
        case True, False:
            return "broken"
    return ""
