"""Pairs accepted, edited or dropped by hand; kept through later rebuilds.

A decision is tied to what was said, not to a row's place: it holds for the same question and answer
wherever a later build puts them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NotRequired, TypedDict

from factory.artifacts import Row, hash_json, read_json, write_json

Action = Literal["accept", "edit", "drop"]


class Decision(TypedDict):
    """What a person said of one pair."""

    action: Action
    answer: NotRequired[str]
    """The new answer, where the action is `edit`."""


Decisions = dict[str, Decision]
"""By the pair's key."""


def key(row: Row) -> str:
    """What identifies a pair: everything that was said in it, 16 hex digits."""
    return hash_json([[m["role"], m["content"]] for m in row["messages"]])[:16]


def file(home: Path, name: str) -> Path:
    """Where a persona's decisions are kept."""
    return home / "reviews" / f"{name}.json"


def load(home: Path, name: str) -> Decisions:
    """The decisions on a persona's pairs; none if nothing was reviewed."""
    path = file(home, name)
    return dict(read_json(path)) if path.is_file() else {}


def decide(home: Path, name: str, row: Row, decision: Decision) -> None:
    """Keep one decision, at once: a review can be left and taken up at any pair."""
    write_json(file(home, name), {**load(home, name), key(row): decision})


def applied(rows: Iterable[Row], decisions: Decisions) -> Iterator[tuple[Row, bool]]:
    """Every row, edited where that was decided, and whether it was dropped by hand."""
    for row in rows:
        decision = decisions.get(key(row))
        if decision and decision["action"] == "edit":
            *before, last = row["messages"]
            row = {**row, "messages": [*before, {**last, "content": decision["answer"]}]}
        yield row, bool(decision and decision["action"] == "drop")
