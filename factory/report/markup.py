"""Untrusted text as Markdown that shows it and does nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from factory.report.words import NOTHING, clean

_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$])")
_BLOCK_START = re.compile(r"^([#+=:-])")
_LIST_START = re.compile(r"^(\d+)([.)])(?=\s|$)")
# GitHub turns bare addresses into links; a backslash before the colon or dot keeps them text.
_LINK = re.compile(r"(?i)(https?|ftp|mailto|xmpp|www)([:.])")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escape(text: object) -> str:
    """One or more lines that Markdown shows as they are: no markup, no HTML, no links."""
    return "\n".join(_block(line) for line in clean(text).split("\n"))


def _block(line: str) -> str:
    line = line.expandtabs(4)
    bare = _span(line.strip(" "))
    bare = _LIST_START.sub(r"\1\\\2", _BLOCK_START.sub(r"\\\1", bare))
    return "&nbsp;" * (len(line) - len(line.lstrip(" "))) + bare


def _span(text: str) -> str:
    return _LINK.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", text.translate(_ENTITIES)))


def inline(text: object) -> str:
    """Text on one line."""
    return escape(" ".join(clean(text).split()))


def code(command: str) -> str:
    """A command as a code span."""
    return f"`{' '.join(command.replace('`', '').split())}`"


def quote(text: object) -> str:
    """Text as a blockquote that keeps its line breaks and cannot end itself."""
    lines = escape(text).split("\n")
    following = [*lines[1:], ""]
    # A backslash is a line break only where a line of the same paragraph follows.
    return "\n".join(
        f"> {line}\\" if line.strip() and after.strip() else f"> {line}".rstrip()
        for line, after in zip(lines, following, strict=True)
    )


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of escaped cells under a head of our own words."""
    body = [[_cell(item) for item in row] for row in rows]
    lines = [list(head), ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(item: object) -> str:
    return "<br>".join(map(_span, clean(item).strip().split("\n"))) or NOTHING
