"""The text the starter learns from: public-domain books, free dialogues, and our own conversations.

`folder` holds `books.jsonl.xz` (author, title, text; simplest words first) and `dialogues.jsonl.xz`
(source, language, turns; the user speaks first). What is held out is decided by a checksum of the
text, so that it stays held out whatever else is added.
"""

from __future__ import annotations

import json
import lzma
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from factory.contracts import Message

HELD_OUT = {"topical-chat": 20, "*": 50}
"""One conversation in so many of a source is never trained on."""

PIECE_TURNS = 6
"""Turns of a piece of a long conversation: what fits a training window."""

BOOK_PIECE = 1500
"""Characters of a piece of a book, cut between paragraphs."""

OLD_FASHIONED = frozenset(
    ("thee", "thou", "thy", "hath", "doth", "ye", "sir", "madam", "lord", "whence", "'tis")
)


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with lzma.open(file, "rt", encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


def _held_out(source: str, text: str) -> bool:
    return zlib.crc32(text.encode()) % HELD_OUT.get(source, HELD_OUT["*"]) == 0


def books(folder: Path, limit: int) -> Iterator[str]:
    """Pieces of books, in turn from all books among the simplest, up to `limit` characters."""
    spent = 0
    for row in _lines(folder / "books.jsonl.xz"):
        piece = ""
        for paragraph in row["text"].split("\n\n"):
            text = " ".join(paragraph.split())
            if not text or text.isupper() or text.startswith(("#", "|", "!", "[")):
                continue
            piece += text + "\n"
            if len(piece) >= BOOK_PIECE:
                yield piece.rstrip()
                spent += len(piece)
                piece = ""
        if spent >= limit:
            return


def dialogues(folder: Path, *, held_out: bool = False) -> Iterator[tuple[str, list[Message]]]:
    """Source and messages of English conversations, long ones in pieces.

    Old-fashioned book talk and very long turns are left out.
    """
    for row in _lines(folder / "dialogues.jsonl.xz"):
        source, turns = row["source"], [" ".join(turn.split()) for turn in row["turns"]]
        if row["language"] != "en" or _held_out(source, "\n".join(turns)) != held_out:
            continue
        if source == "classic-books" and any(
            len(turn.split()) > 40
            or not OLD_FASHIONED.isdisjoint(turn.lower().replace(",", "").split())
            for turn in turns
        ):
            continue
        for start in range(0, len(turns) - 1, PIECE_TURNS):
            piece = turns[start : start + PIECE_TURNS]
            piece = piece[: len(piece) // 2 * 2]
            if piece:
                yield (
                    source,
                    [
                        {"role": ("user", "assistant")[k % 2], "content": turn}
                        for k, turn in enumerate(piece)
                    ],
                )
