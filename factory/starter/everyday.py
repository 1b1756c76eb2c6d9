"""Everyday conversation, written by hand as cards: what the starter model learns to answer.

A card is one thing a person may want, with several ways to ask for it and several good answers.
Cards are kept in `everyday/*.txt`, one line for each text, a blank line between cards:

    # sleep/falling-asleep        topic/name, unique
    ! sleep, bed, rest            words of which a right answer holds at least one
    ? I can't fall asleep.        at least six ways to ask; the last two are never trained on
    = Try to ...                  three or more plain answers, 15 to 45 words
    - Read something dull.        two or more short ones, at most 10 words
    + When sleep will not ...     one or more long ones, 45 to 90 words
    ~ Count sheep, then ...       one or more funny ones, 8 to 35 words
    ?? And if I wake at night?    follow-ups: each `??` is another way to ask the same,
    == Stay in bed ...            and the `==` after them its answers
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).with_name("everyday")
KINDS = {"!": "marks", "?": "asks", "=": "replies", "-": "short", "+": "long", "~": "funny"}
WORDS = {"replies": (8, 48), "short": (1, 12), "long": (40, 100), "funny": (5, 40)}
"""Fewest and most words of an answer of each kind."""
LEAST = {"asks": 6, "replies": 3, "short": 2, "long": 1, "funny": 1}
HELD_OUT = 2
"""Ways to ask, the last of each card, that training never sees."""


@dataclass(slots=True)
class FollowUp:
    """What may come after a card's answer."""

    asks: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Card:
    """One thing a person may want of the model."""

    name: str
    marks: list[str] = field(default_factory=list)
    asks: list[str] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    long: list[str] = field(default_factory=list)
    funny: list[str] = field(default_factory=list)
    more: list[FollowUp] = field(default_factory=list)

    @property
    def topic(self) -> str:
        """The part of the name before the slash."""
        return self.name.partition("/")[0]


def marked(file: Path) -> Iterator[tuple[int, str, str]]:
    """Number, mark and text of every line that is not blank."""
    for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
        mark, _, text = line.strip().partition(" ")
        if mark:
            yield number, mark, text.strip()


def read(file: Path) -> Iterator[Card]:
    """The cards of one file.

    Raises:
        ValueError: Where a line cannot be read, with file and line.
    """
    card: Card | None = None
    for number, mark, text in marked(file):
        if mark == "#":
            if card:
                yield card
            card = Card(text)
        elif card is None or not text:
            raise ValueError(
                f"{file.name}:{number}: expected a card's name or a text: {mark} {text}"
            )
        elif mark == "!":
            card.marks += [word.strip().lower() for word in text.split(",") if word.strip()]
        elif mark == "??":
            if not card.more or card.more[-1].replies:
                card.more.append(FollowUp())
            card.more[-1].asks.append(text)
        elif mark == "==":
            if not card.more:
                raise ValueError(f"{file.name}:{number}: an answer without its follow-up")
            card.more[-1].replies.append(text)
        elif mark in KINDS:
            getattr(card, KINDS[mark]).append(text)
        else:
            raise ValueError(f"{file.name}:{number}: unknown mark {mark!r}")
    if card:
        yield card


def problems(card: Card) -> Iterator[str]:
    """What is wrong with a card, one sentence each."""
    if "/" not in card.name:
        yield f"{card.name}: the name is topic/name"
    if not card.marks:
        yield f"{card.name}: no `!` line"
    for kind, least in LEAST.items():
        if len(getattr(card, kind)) < least:
            yield f"{card.name}: {len(getattr(card, kind))} {kind}, at least {least} wanted"
    for kind, (least, most) in WORDS.items():
        for text in getattr(card, kind):
            if not least <= len(text.split()) <= most:
                yield f"{card.name}: {kind}: {len(text.split())} words ({least} to {most}): {text[:50]}"
    for follow in card.more:
        if not follow.asks or not follow.replies:
            yield f"{card.name}: a follow-up without question or answer"
    for text in [*card.replies, *card.short, *card.long]:
        if card.marks and not right(card, text):
            yield f"{card.name}: none of its own words in: {text[:60]}"
    if len(set(card.asks)) < len(card.asks):
        yield f"{card.name}: the same question twice"


def right(card: Card, answer: str) -> bool:
    """Whether an answer holds one of the words a right one must hold."""
    low = answer.lower()
    return any(word in low for word in card.marks)


def cards() -> list[Card]:
    """All cards, in the order of file and line."""
    return [card for file in sorted(FOLDER.glob("*.txt")) for card in read(file)]


if __name__ == "__main__":
    found = cards()
    for card in found:
        for problem in problems(card):
            print(problem)
    names = [card.name for card in found]
    for name in sorted({n for n in names if names.count(n) > 1}):
        print(f"{name}: two cards of this name")
    print(f"{len(found)} cards, {sum(len(c.asks) for c in found)} ways to ask")
