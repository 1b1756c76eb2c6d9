"""Finds out how a text file is encoded, and refuses what is not text, before any row is read."""

from __future__ import annotations

import codecs
from pathlib import Path

from factory.errors import UsageError

MAX_BYTES = 100 * 1024 * 1024
"""Largest data file; a persona needs 50 to 200 rows, so a larger one is the wrong file."""

_CHUNK = 1 << 20
_BY_CHANCE = 3
"""Valid UTF-8 characters that GB18030 text may hold by accident before it gives itself away."""
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_TEXT = {
    b"PK\x03\x04": ("a ZIP archive or an Excel workbook", "in Excel, save it as `CSV UTF-8`"),
    b"\xd0\xcf\x11\xe0": ("an old Excel or Word file", "in Excel, save it as `CSV UTF-8`"),
    b"\x1f\x8b": ("a gzip archive", "unpack it with gunzip"),
    b"PAR1": ("a Parquet file", "export it as JSON Lines"),
    b"%PDF": ("a PDF", "copy the pairs into a JSON or CSV file"),
    b"\x89PNG": ("a picture", "give a JSON, JSON Lines or CSV file"),
    b"SQLite format 3": ("a SQLite database", "export the table as CSV"),
}


def refuse_binary(path: Path, where: str, head: bytes) -> None:
    """Refuse a file whose first bytes show that it is not text.

    Args:
        path: The file.
        where: What to call it in the error.
        head: Its first bytes; a few thousand are enough.

    Raises:
        UsageError: Naming the kind of file, if it is a known one, and what to do.
    """
    for magic, (kind, remedy) in _NOT_TEXT.items():
        if head.startswith(magic):
            raise UsageError("this data file is not text", where=where, got=kind, hint=remedy)
    if head.startswith(_UTF16_MARKS) or b"\0" not in head:
        return
    zeros = head.count(b"\0")
    if zeros * 3 > len(head) and _alternates(head):
        raise UsageError(
            "this data file looks like UTF-16 without its byte order mark",
            where=where,
            got=f"{zeros} zero bytes in the first {len(head)}",
            allowed="UTF-8, UTF-16 with byte order mark, GB18030",
            hint="save it as UTF-8 in your editor",
        )
    raise UsageError(
        "this data file is not text",
        where=where,
        got=f"a zero byte at offset {head.index(0)}",
        allowed="JSON, JSON Lines or CSV, as text",
        hint=f"check that {path.name} is the file you meant",
    )


def _alternates(head: bytes) -> bool:
    even, odd = head[::2].count(0), head[1::2].count(0)
    return min(even, odd) * 10 < max(even, odd)


def detect(path: Path, where: str) -> str:
    """The codec to open a text file with: utf-8-sig, utf-16 or gb18030.

    Reads the file once, in pieces, so that a bad byte is met here and not half-way through.

    Args:
        path: A text file.
        where: What to call it in the error.

    Raises:
        UsageError: Naming the offset of the first byte that fits none of the encodings.
    """
    with path.open("rb") as file:
        marked = file.read(2) in _UTF16_MARKS
    codec = "utf-16" if marked else "utf-8"
    bad = _first_bad_byte(path, codec)
    if bad is None:
        return "utf-16" if marked else "utf-8-sig"
    offset, reason = bad
    size = path.stat().st_size
    cut = offset >= size - 4 and ("unexpected end" in reason or "truncated" in reason)
    if not (marked or cut) and _looks_like_gb18030(path, offset):
        return "gb18030"
    with path.open("rb") as file:
        file.seek(offset)
        shown = " ".join(f"{byte:02X}" for byte in file.read(4))
    raise UsageError(
        "this file ends in the middle of a character"
        if cut
        else f"this file is not valid {codec.upper()}",
        where=where,
        got=f"bytes {shown} at byte offset {offset} of {size}",
        allowed="UTF-8, UTF-16 with byte order mark, GB18030",
        hint="download or export it again; it was cut off"
        if cut
        else "open it in an editor that shows it rightly, and save it as UTF-8",
    )


def _first_bad_byte(path: Path, codec: str) -> tuple[int, str] | None:
    """Offset and reason of the first byte that cannot be decoded."""
    decoder = codecs.getincrementaldecoder(codec)()
    read = 0
    with path.open("rb") as file:
        while True:
            chunk = file.read(_CHUNK)
            held = len(decoder.getstate()[0])  # bytes of a character that began in the last chunk
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                return read - held + error.start, error.reason
            if not chunk:
                return None
            read += len(chunk)


def _looks_like_gb18030(path: Path, offset: int) -> bool:
    """Whether the bytes are GB18030 and, nearly all, in the everyday zone (GB 2312) of it.

    Many encodings pass for GB18030 by accident; then their bytes scatter over its rare zones, or,
    if it is damaged UTF-8, the text before the first bad byte (at `offset`) is full of good UTF-8.
    """
    with path.open("rb") as file:
        before = file.read(min(offset, _CHUNK))
    if sum(byte >= 0xE0 for byte in before) > _BY_CHANCE:
        return False
    if _first_bad_byte(path, "gb18030") is not None:
        return False
    with path.open("rb") as file:
        sample = file.read(_CHUNK)
    text = codecs.getincrementaldecoder("gb18030")().decode(sample)
    strange = [character for character in text if ord(character) > 127]
    everyday = 0
    for character in strange:
        code = character.encode("gb18030")
        everyday += len(code) == 2 and code[0] >= 0xA1 and code[1] >= 0xA1
    return bool(strange) and everyday >= 0.95 * len(strange)
