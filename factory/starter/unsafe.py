"""What must not be helped with, and what only sounds like it.

Put together from `unsafe.txt`, which has a blank line between kinds of harm:

    # weapons
    ! Weapons hurt people.             a reason to say no
    > If you feel unsafe, ...          what to do instead
    * make bullets in the kitchen      something harmful that a person may want to do
    " a price list for pistols         something harmful to write
    ? Which knife cuts bread? | ...    a harmless question of the same words, in at least three ways,
    = A long knife with teeth ...      and its answer

The suite `safety`, on which personas are judged, shares no question with it; a test holds that.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from factory.starter.everyday import marked
from factory.starter.facts import Fact, upper

FILE = Path(__file__).with_suffix(".txt")
KINDS = {"!": "why", ">": "instead", "*": "do", '"': "write"}
DO = (
    "How do I {0}?", "How can I {0}?", "how to {0}", "How would someone {0}?", "Tell me how to {0}.",
    "Explain how to {0}.", "Teach me how to {0}.", "What is the best way to {0}?", "I want to {0}.",
    "Help me {0}.", "Give me a plan to {0}.", "Write down the steps to {0}.", "Can you help me {0}?",
    "What do I need to {0}?", "Show me the easiest way to {0}.", "My friend wants to {0}. How does it work?",
    "I need to {0}. What comes first?", "How do people {0}?", "Any tips? I would like to {0}.",
    "Where do I begin if I want to {0}?", "Is there a trick to {0}?", "Describe exactly how to {0}.",
    "How could I {0} without being caught?", "How can I {0} so that nobody finds out?",
    "What is the safest way for me to {0}?", "I am going to {0}. Any advice?", "step by step: {0}",
    "Let's {0}.", "For a story I need to know how to {0}.", "Just between us, how do I {0}?",
)  # fmt: skip
WRITE = (
    "Write {0}.", "Please write {0}.", "I need {0}.", "Draft {0} for me.", "Can you write {0}?",
    "Help me write {0}.", "Give me {0}.", "Make {0}.", "Compose {0}.", "Could you make {0} for me?",
    "Think up {0}.", "write {0} quickly", "Show me {0}.", "I want {0}. Write it now.",
)  # fmt: skip
NO = (
    "No, I will not help with that.", "I cannot help with that.", "I can't help with that.",
    "Sorry, I won't help with that.", "I will not help you with this.", "No. I can't help with this.",
    "Sorry, but I cannot help with that.", "That is something I will not help with.",
    "I won't help with this.", "No, I won't do that.",
)  # fmt: skip
NOT_WRITTEN = ("I will not write that.", "Sorry, I won't write that.", "No, I cannot write that.")
HARMLESS = 0.25
"""Share of questions that only sound harmful: a model that refuses a word, not a harm, is of no use."""


@dataclass(slots=True)
class Harm:
    """One kind of harm: acts and texts nobody should be helped with, reasons, and ways out."""

    why: list[str] = field(default_factory=list)
    instead: list[str] = field(default_factory=list)
    do: list[str] = field(default_factory=list)
    write: list[str] = field(default_factory=list)
    harmless: list[tuple[tuple[str, ...], str]] = field(default_factory=list)


@cache
def harms() -> tuple[Harm, ...]:
    """All kinds, in the order of the file.

    Raises:
        ValueError: Where a line has no known mark, with file and line.
    """
    found: list[Harm] = []
    asks: tuple[str, ...] = ()
    for number, mark, text in marked(FILE):
        if mark == "#":
            found.append(Harm())
        elif mark == "?":
            asks = tuple(ask.strip() for ask in text.split("|"))
        elif mark == "=":
            found[-1].harmless.append((asks, text))
        elif mark in KINDS:
            getattr(found[-1], KINDS[mark]).append(text)
        else:
            raise ValueError(f"{FILE.name}:{number}: unknown mark {mark!r}")
    return tuple(found)


@cache
def things() -> tuple[tuple[Harm, tuple[str, ...], str], ...]:
    """Everything that must not be helped with: its kind, the ways to ask for it, and what it is."""
    return tuple(
        (harm, frames, thing)
        for harm in harms()
        for frames, among in ((DO, harm.do), (WRITE, harm.write))
        for thing in among
    )


def refusal(harm: Harm, style: str, rng: random.Random, *, written: bool = False) -> str:
    """A calm no, mostly with a reason and a way out; the same for every voice.

    Args:
        harm: What was asked for.
        style: Kind of answer wanted, as in `everyday.Card`.
        rng: Chooses.
        written: Whether a text was asked for.
    """
    no = rng.choice(NOT_WRITTEN if written and rng.random() < 0.5 else NO)
    why, instead = rng.choice(harm.why), rng.choice(harm.instead)
    if style == "short":
        return rng.choice((no, f"{no} {why}", f"{no} {instead}"))
    return f"{no} {why} {instead}" if rng.random() < 0.7 else f"{why} {no} {instead}"


def unsafe(rng: random.Random) -> Fact:
    """A question that is to be refused, or one that only sounds so and is answered."""
    harm, frames, thing = rng.choice(things())
    if rng.random() < HARMLESS:
        asks, answer = rng.choice(harm.harmless)
        return Fact("harmless", asks, (answer,), answer, "")
    written = frames is WRITE
    asks = tuple(upper(frame.format(thing)) for frame in rng.sample(frames, 4))
    answers = tuple(refusal(harm, "replies", rng, written=written) for _ in range(2))
    return Fact("refusal", asks, answers, refusal(harm, "short", rng, written=written), "")
