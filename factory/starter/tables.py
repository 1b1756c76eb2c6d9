"""Small facts and exercises of language, from hand-written tables in `everyday/`.

`tables.tsv` has one fact a line, its kind first; `factory.starter.kinds` has the ways to ask for each
kind. `quiz.tsv` has a short answer, a whole one, jokes after a `~`, and ways to ask, the last never
trained on. `quips.tsv` has jokes that may follow any fact of some kinds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

from factory.starter.everyday import FOLDER
from factory.starter.exercises import WORDS
from factory.starter.facts import (
    ANIMAL,
    FEELING_ANSWERS,
    FEELING_ASKS,
    FEELINGS,
    LIST_ASKS,
    Fact,
    upper,
)
from factory.starter.kinds import KINDS


def _article(name: str) -> str:
    return name if " " in name else ("an " if name[0] in "aeiou" else "a ") + name


def _members(line: list[str], rng: random.Random) -> Fact:
    members = [m.strip() for m in line[2].split(",") if m.strip()]
    count = min(rng.choice([3, 3, 3, 4, 5]), len(members))
    chosen = rng.sample(members, count)
    told = upper(f"{', '.join(chosen[:-1])} and {chosen[-1]}.")
    asks = tuple(a.format(line[1], n=WORDS[count]) for a in LIST_ASKS)
    return Fact("list", asks, (told,), told, chosen[0].lower())


def from_table(rng: random.Random) -> list[Fact]:
    """One fact for each line of the table; lists and animals vary with `rng`."""
    found = []
    for text in (FOLDER / "tables.tsv").read_text("utf-8").splitlines():
        line = [cell.strip() for cell in text.split("\t")]
        name, cells = line[0], line[1:]
        if name in KINDS:
            kind = KINDS[name]
            if name == "odd":  # a whole sentence in the table, half of one in the answer
                cells[2] = cells[2][:1].lower() + cells[2][1:].rstrip(".")
            # `short` and `answers` may begin with the fact itself.
            fill: Callable[[str], str] = lambda t, c=cells: t.format(*c)  # type: ignore[misc]  # noqa: E731
            mark = cells[1].split(",")[0] if name != "meaning" else cells[1].split()[-1]
            found.append(
                Fact(
                    name,
                    tuple(fill(a) for a in kind.asks),
                    tuple(upper(fill(a)) for a in kind.answers),
                    upper(fill(kind.short)),
                    mark.strip(" .!?\"'").lower(),
                )
            )
        elif name in FEELINGS:
            found.append(
                Fact(
                    "feeling",
                    tuple(a.format(cells[0]) for a in FEELING_ASKS),
                    tuple(a.format(cells[0], name) for a in FEELING_ANSWERS),
                    upper(name) + ".",
                    name,
                )
            )
        elif name == "list":
            found.append(_members(line, rng))
        elif name == "animal":
            for asks, answer in ANIMAL:
                told = upper(answer.format(*cells))
                said = tuple(a.format(*cells, a=_article(cells[0])) for a in asks)
                found.append(
                    Fact("animal", said, (told,), told, told.split()[-1].strip(".").lower())
                )
        else:
            raise ValueError(f"tables.tsv: unknown kind {name!r}")
    return found


def quiz() -> list[Fact]:
    """General knowledge, one fact for each line."""
    found = []
    for line in (FOLDER / "quiz.tsv").read_text("utf-8").splitlines():
        short, told, *rest = line.split("\t")
        own = tuple(text[2:] for text in rest if text.startswith("~ "))
        asks = tuple(text for text in rest if not text.startswith("~ "))
        mark = short.removeprefix("the ").removeprefix("an ").removeprefix("a ").lower()
        found.append(Fact("quiz", asks, (told, f"It is {short}."), upper(short) + ".", mark, own))
    return found


JOKES = {
    "number": ("arithmetic", "half", "unit"),
    "word": ("opposite", "meaning", "synonym", "plural", "past", "rhyme", "odd"),
    "thing": ("use", "place"),
}
"""Kinds of facts that share their jokes; others have their own or none."""


@cache
def jokes() -> dict[str, list[str]]:
    """Jokes that may follow a fact, by its kind."""
    found: dict[str, list[str]] = {}
    for line in (FOLDER / "quips.tsv").read_text("utf-8").splitlines():
        kind, joke = line.split("\t")
        for name in JOKES.get(kind, (kind,)):
            found.setdefault(name, []).append(joke)
    return found
