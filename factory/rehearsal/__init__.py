"""What is asked of a base so that it keeps what it can do while it learns a voice.

All texts were written for this project, and none is in a suite that judges: `asks` are answered by the
base and mixed in with a persona's rows, `prose` shows how strongly an adapter may be applied.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

LANGUAGES = ("en", "zh")
"""Languages that have texts."""


def asks(language: str) -> tuple[str, ...]:
    """Everyday questions in a language, two letters; none where it has no texts."""
    return _lines("asks", language) if language in LANGUAGES else ()


def prose(language: str) -> tuple[str, ...]:
    """Paragraphs of plain prose in a language, two letters; English where it has no texts."""
    return _lines("prose", language if language in LANGUAGES else LANGUAGES[0])


@cache
def _lines(name: str, language: str) -> tuple[str, ...]:
    text = (files("factory.rehearsal") / f"{name}.{language}.txt").read_text("utf-8")
    return tuple(text.splitlines())
