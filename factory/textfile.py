"""From a path to the text of a persona file, or to one problem that says why it cannot be read."""

from __future__ import annotations

import codecs
import difflib
import re
from pathlib import Path
from typing import Any

from factory.errors import ConfigErrors, Problem

MAX_BYTES = 1_000_000
"""Largest persona file; one that teaches well is a hundredth of it."""

INIT = "`factory init NAME` writes a commented one"

_BOMS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_NOT_IN_YAML = re.compile("[^\t\n\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read(path: Path) -> str:
    r"""The text of a persona file, with `\n` for every line end and no byte order mark.

    Raises:
        ConfigErrors: If there is no such file, or it is not UTF-8 text of a sensible size.
    """
    if path.suffix.lower() in (".jsonl", ".csv"):
        raise refusal(
            path,
            "this is a data file, not a persona file",
            allowed="a YAML file",
            hint="name it in a persona file, under `data:`",
        )
    text = _decode(path, _content(path)).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise refusal(path, "this file is empty", hint=INIT)
    bad = {text.count("\n", 0, found.start()) + 1: found for found in _NOT_IN_YAML.finditer(text)}
    if bad:
        raise ConfigErrors(
            [
                Problem(
                    f"{path}:{line}",
                    "",
                    "an invisible control character is not allowed in YAML",
                    got=f"U+{ord(found.group()):04X}",
                    hint="delete it",
                )
                for line, found in bad.items()
            ]
        )
    return text


def refusal(path: Path, what: str, line: int | None = None, **facts: Any) -> ConfigErrors:
    """The error for a file of which nothing else can be said."""
    where = str(path) if line is None else f"{path}:{line}"
    return ConfigErrors([Problem(where, "", what, **facts)])


def _content(path: Path) -> bytes:
    try:
        if path.is_dir():
            inside = sorted(file.name for file in path.glob("*.y*ml"))
            hint = f"name a file in it: {', '.join(inside[:6])}" if inside else INIT
            raise refusal(path, "this is a folder, not a persona file", hint=hint)
        size = path.stat().st_size
        if not path.is_file():
            raise refusal(path, "this is not a regular file", allowed="a YAML file")
        if size > MAX_BYTES:  # told from the file's size, before a byte of it is read
            raise refusal(
                path,
                "this file is too large for a persona file",
                got=f"{size / 1e6:.1f} MB",
                allowed=f"at most {MAX_BYTES / 1e6:.0f} MB",
                hint="put the pairs into a data file and name it under `data:`",
            )
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise refusal(path, "there is no such file", hint=_near(path)) from error
    except OSError as error:
        raise refusal(path, "this file cannot be read", got=error.strerror) from error


def _near(path: Path) -> str:
    """The persona files a user may have meant, beside the path and in `personas/`."""
    files = [f for folder in (path.parent, Path("personas")) for f in sorted(folder.glob("*.y*ml"))]
    stems = {file.stem: file for file in reversed(files)}
    meant = difflib.get_close_matches(path.stem.lower(), stems, n=1)
    if meant:
        return f"did you mean {stems[meant[0]]}?"
    if files:
        return f"there are: {', '.join(map(str, files[:6]))}"
    return INIT


def _decode(path: Path, content: bytes) -> str:
    encoding = _wide(content)
    if encoding is not None:
        raise _not_utf8(path, encoding, 1)
    if b"\0" not in content:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            encoding = _legacy(content)
            if encoding is not None:
                line = content.count(b"\n", 0, error.start) + 1
                raise _not_utf8(path, encoding, line) from error
    raise refusal(
        path,
        "this is a binary file",
        allowed="YAML text in UTF-8",
        hint="name the persona file, not a data or model file",
    )


def _not_utf8(path: Path, encoding: str, line: int) -> ConfigErrors:
    return refusal(
        path,
        f"this file is not UTF-8; it looks like {encoding}",
        line,
        got=encoding,
        allowed="UTF-8",
        hint=f"save it as UTF-8, or: iconv -f {encoding} -t UTF-8 {path} > {path.stem}.utf8.yaml",
    )


def _wide(content: bytes) -> str | None:
    """UTF-16 or UTF-32, told by the byte order mark or by where the zero bytes are."""
    for mark, name in _BOMS:
        if content.startswith(mark):
            return name
    sample = content[: min(len(content), 2000) // 2 * 2]
    even, odd = sample[0::2], sample[1::2]
    # The keys of a persona file are ASCII, so every other byte of much of it would be zero.
    zeros, rarer, name = max(
        (odd.count(0), even.count(0), "UTF-16LE"), (even.count(0), odd.count(0), "UTF-16BE")
    )
    return name if zeros > len(even) * 0.2 and rarer < zeros * 0.2 else None


def _legacy(content: bytes) -> str | None:
    """The single- or double-byte encoding this may be; None if it does not look like text."""
    if re.search(rb"[\x00-\x08\x0e-\x1f]", content):
        return None
    foreign = sum(byte > 0x7F for byte in content)
    try:
        common = content.decode("gb18030").encode("gb2312", "ignore")
    except UnicodeDecodeError:
        common = b""
    # Western text also decodes as GB18030, but into rare characters that GB2312 lacks.
    if sum(byte > 0x7F for byte in common) >= foreign * 0.8:
        return "GB18030"
    return "WINDOWS-1252" if foreign < len(content) * 0.3 else None
