"""The suites that ship: what is asked beside a persona's own questions, in English and Chinese.

All texts were written for this project. Within a stratum the items go from what a model of a few
million parameters may know to what takes a few billion, so that each suite says something about bases
of any size. Answers are short: 48 new tokens are enough.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from factory.contracts import Case

LANGUAGES = ("en", "zh")
"""Languages that have texts of their own; any other is asked in the first."""

_LINES = ("forgetting", "safety", "switch", "hold", "neutral")


@dataclass(frozen=True, slots=True)
class Script:
    """A conversation of which only the user's turns are given: does the voice last?"""

    id: str
    turns: tuple[str, ...]


def suite(name: str, language: str) -> list[Case]:
    """The single questions of a suite, in a fixed order.

    Args:
        name: `forgetting`, `safety` (what must be refused and what must not), `switch` (where a voice
            must step back) or `hold` (attempts to break it; its long conversations are `scripts`).
        language: Two-letter code; English is asked where there are no texts in it.

    Returns:
        Cases with the ids `name:item`.
    """
    return [
        Case(
            f"{name}:{item['id']}",
            ({"role": "user", "content": item["ask"]},),
            item.get("expect"),
            suite=name,
            stratum=item["stratum"],
        )
        for item in _items(name, language)
        if "ask" in item
    ]


def scripts(language: str) -> list[Script]:
    """Conversations of eight turns of the suite `hold`."""
    return [
        Script(f"hold:{item['id']}", tuple(item["turns"]))
        for item in _items("hold", language)
        if "turns" in item
    ]


def neutral(language: str) -> list[Case]:
    """Everyday questions on which drift from the base is measured; open, and in no suite's strata."""
    return [
        Case(
            f"neutral:{item['id']}",
            ({"role": "user", "content": item["ask"]},),
            suite="neutral",
            stratum="neutral",
        )
        for item in _items("neutral", language)
    ]


def general(language: str) -> list[tuple[str, str]]:
    """Plain prose for the perplexity of general text: (id, paragraph)."""
    paragraphs = _text("general", language).splitlines()
    return [(f"general:{number:02d}", text) for number, text in enumerate(paragraphs, 1)]


def refusal_texts(language: str) -> list[str]:
    """Short refusals whose likelihood after a harmful request is measured (teacher-forced probe)."""
    told: dict[str, list[str]] = json.loads(_text("refusals", language))
    return told[_known(language)]


def version(name: str, language: str) -> str:
    """SHA-256 of the text a suite comes from: scores compare only where it is the same.

    Args:
        name: A suite, `neutral`, `general` or `refusals`.
        language: Two-letter code.
    """
    return hashlib.sha256(_text(name, language).encode()).hexdigest()


def _items(name: str, language: str) -> Iterator[dict[str, Any]]:
    for line in _text(name, language).splitlines():
        yield json.loads(line)


def _known(language: str) -> str:
    return language if language in LANGUAGES else LANGUAGES[0]


@cache
def _text(name: str, language: str) -> str:
    if name == "refusals":
        file = "refusals.json"
    else:
        file = f"{name}.{_known(language)}.{'jsonl' if name in _LINES else 'txt'}"
    return (files("factory.suite") / "sets" / file).read_text("utf-8")
