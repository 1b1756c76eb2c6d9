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

from factory.starter.facts import Fact, upper

FILE = Path(__file__).with_suffix(".txt")
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

    name: str
    why: list[str] = field(default_factory=list)
    instead: list[str] = field(default_factory=list)
    do: list[str] = field(default_factory=list)
    write: list[str] = field(default_factory=list)
    harmless: list[tuple[tuple[str, ...], str]] = field(default_factory=list)


@cache
def harms() -> tuple[Harm, ...]:
    """All kinds, in the order of the file.

    Raises:
        ValueError: Where a line has no known mark.
    """
    found: list[Harm] = []
    asks: tuple[str, ...] = ()
    for line in FILE.read_text("utf-8").splitlines():
        mark, _, text = line.partition(" ")
        match mark:
            case "":
                continue
            case "#":
                found.append(Harm(text))
            case "!":
                found[-1].why.append(text)
            case ">":
                found[-1].instead.append(text)
            case "*":
                found[-1].do.append(text)
            case '"':
                found[-1].write.append(text)
            case "?":
                asks = tuple(ask.strip() for ask in text.split("|"))
            case "=":
                found[-1].harmless.append((asks, text))
            case _:
                raise ValueError(f"unsafe.txt: unknown mark: {line!r}")
    return tuple(found)


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
    harm = rng.choices(harms(), [len(h.do) + len(h.write) for h in harms()])[0]
    if rng.random() < HARMLESS:
        asks, answer = rng.choice(harm.harmless or harms()[0].harmless)
        return Fact("harmless", asks, (answer,), answer, "")
    written = rng.random() < len(harm.write) / (len(harm.do) + len(harm.write))
    thing = rng.choice(harm.write if written else harm.do)
    asks = tuple(upper(f.format(thing)) for f in rng.sample(WRITE if written else DO, 4))
    answers = tuple(refusal(harm, "replies", rng, written=written) for _ in range(2))
    return Fact("refusal", asks, answers, refusal(harm, "short", rng, written=written), "")
