"""Texts with a known difference, for the tests of what scores texts."""

from __future__ import annotations

import json
from pathlib import Path

from factory.contracts import Case
from factory.starter.everyday import cards

PERSONAS = Path(__file__).resolve().parents[2] / "personas"


def rows(persona: str) -> list[tuple[str, str]]:
    """Questions and answers of a shipped persona, without those that need an earlier turn."""
    lines = (PERSONAS / f"{persona}.jsonl").read_text("utf-8").splitlines()
    found = [row for row in map(json.loads, lines) if not row.get("history")]
    return [(row["instruction"], row["output"]) for row in found]


def usual() -> list[str]:
    """Answers without any voice."""
    return [card.replies[0] for card in cards()]


def short_and_usual() -> list[tuple[str, str]]:
    """A short and a usual answer to one question each."""
    return [(card.short[0], card.replies[0]) for card in cards()]


def case(name: str, ask: str, reference: str | None = None, expect: object = None) -> Case:
    """A case with one question."""
    return Case(name, [{"role": "user", "content": ask}], expect, reference=reference)  # type: ignore[arg-type]
