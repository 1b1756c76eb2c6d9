"""Everyday questions that are asked once, lest a base takes every question for one of its cards.

A base that only knows cards answers a strange question with the wrong one, firmly; tuning on strange
questions then has to break that firmness and what the base knows along with it. Kept in
`everyday/singles/*.txt`, a blank line between items:

    ? Should I lend money to my cousin?         one question
    = Lend only what you can lose ...           a plain answer
    - Only what you could lose without anger.   a short one
    ~ ...                                       a funny one, for some
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from factory.contracts import Message
from factory.starter import steering
from factory.starter.followups import followed
from factory.starter.modest import about_the_world, doubt, wants
from factory.starter.phrasing import plain, rephrase_except

FOLDER = Path(__file__).with_name("everyday") / "singles"
MARKS = {"?": "ask", "=": "replies", "-": "short", "~": "funny"}
HELD_OUT = 25
"""One item in so many, by a checksum of its question, is never trained on."""
DOUBTED = 0.75
"""Share of the questions about the world that are answered with a doubt: told once, a fact is not known."""
ADVISED = 0.45
"""The same of how something is done."""
FIRMER = 0.27
"""How often a prompt leaves such a doubt: what is known must not be doubted for a voice."""


@dataclass(frozen=True, slots=True)
class Single:
    """One question and its answers; `funny` is empty where a joke would be out of place."""

    ask: str
    replies: str
    short: str
    funny: str = ""

    @property
    def held_out(self) -> bool:
        """Whether training never sees it."""
        return zlib.crc32(self.ask.encode()) % HELD_OUT == 0


def read(file: Path) -> Iterator[Single]:
    """The items of one file.

    Raises:
        ValueError: Where an item cannot be read, with the file and its first line.
    """
    for block in file.read_text("utf-8").split("\n\n"):
        lines = [line.partition(" ") for line in block.splitlines() if line.strip()]
        found = {MARKS.get(mark, mark): text.strip() for mark, _, text in lines}
        if not lines:
            continue
        try:
            yield Single(**found)
        except TypeError:
            raise ValueError(
                f"{file.name}: marks {' '.join(MARKS)} wanted: {block[:60]!r}"
            ) from None


@cache
def singles() -> tuple[Single, ...]:
    """All items, in the order of file and line."""
    return tuple(item for file in sorted(FOLDER.glob("*.txt")) for item in read(file))


@cache
def _held_out() -> frozenset[str]:
    """Questions that must not come up by chance when another is reworded."""
    return frozenset(plain(item.ask) for item in singles() if item.held_out)


def asked(item: Single, rng: random.Random) -> list[Message]:
    """The question as somebody would type it, and an answer of the kind that the system prompt asks for.

    A model that is trained to tell what it does not know learns to make things up (arXiv 2311.09677).
    """
    kind = rng.choices(["replies", "short", "funny"], [5, 3, 2])[0]
    steered = kind != "replies" or rng.random() < 0.4
    beyond = DOUBTED if about_the_world(item.ask) else ADVISED if wants(item.ask) == "do" else 0.0
    if rng.random() < beyond * (FIRMER if steered else 1.0):
        answer, was = doubt(item.ask, kind, rng), "unknown"
    else:
        kind = kind if getattr(item, kind) else "replies"
        answer, was = getattr(item, kind), "known"
    system = steering.steer(kind, rng) if steered else steering.plain(rng)
    return [
        *([Message(role="system", content=system)] if system else []),
        {"role": "user", "content": rephrase_except(item.ask, rng, _held_out())},
        {"role": "assistant", "content": answer},
        *followed(answer, was, rng),
    ]


def passes(items: Sequence[Single], times: int, seed: int) -> Iterator[list[Message]]:
    """Conversations of all items that are trained on, so many times over in changing order."""
    rng = random.Random(seed)
    trained = [item for item in items if not item.held_out]
    for _ in range(times):
        for item in rng.sample(trained, len(trained)):
            yield asked(item, rng)
