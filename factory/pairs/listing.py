"""Reads the list of questions out of a teacher's reply, whatever it is wrapped in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from factory.contracts import Reply
from factory.rows.repair import mend, whole

_FENCE = re.compile(r"```[\w-]*\s*\n?(.*?)(?:```|\Z)", re.S)
_TAG = re.compile(r"<(q|question|item|message)>(.*?)</\1>", re.S | re.I)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?')
_MARK = re.compile(r"^\s*(?:[-*•·]|Q?\d{1,3}\s*[.)、:：]|[Qq]\d*\s*[.:：])\s*(?P<text>\S.*)$")
_WRAPPED = re.compile(
    r"^(?:\*\*|__|[\"“'‘`「『])\s*([^*\"“”`「」『』]*?)\s*(?:\*\*|__|[\"”'’`」』])$"
)


def parse_questions(reply: Reply) -> list[str]:
    """The questions in a reply: JSON, JSON in a code block, tagged, numbered or one a line.

    Of JSON that was cut off the strings that are whole are kept. Texts come mended, in their order,
    without repeats; none if there is nothing that looks like a list.
    """
    text = reply.text.strip()
    torn = reply.finish_reason == "length"
    for found in (_from_json(text), _from_tags(text), _from_lines(text, torn)):
        cleaned = list(dict.fromkeys(_clean(found)))
        if cleaned:
            return cleaned
    return []


def _from_json(text: str) -> list[str]:
    fenced = _FENCE.search(text)
    for candidate in [text, *([fenced[1].strip()] if fenced else []), *_bracketed(text)]:
        try:
            return list(_strings(json.loads(candidate)))
        except (ValueError, RecursionError):
            continue
    inner = fenced[1].strip() if fenced else text
    if inner[:1] not in ("[", "{"):
        return []
    # broken or cut-off JSON: a string that is followed by a colon is a key
    return [_unescaped(string) for string, colon in _STRING.findall(inner) if not colon]


def _bracketed(text: str) -> Iterator[str]:
    for opening, closing in ("{}", "[]"):
        start, end = text.find(opening), text.rfind(closing)
        if 0 <= start < end:
            yield text[start : end + 1]


def _strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _strings(item)
        case dict():
            # {"question": "...", "topic": "..."}: what is asked, not what it is about
            asked = [item for key, item in value.items() if "question" in str(key).lower()]
            for item in asked or value.values():
                yield from _strings(item)
        case _:
            return


def _unescaped(string: str) -> str:
    try:
        return str(json.loads(f'"{string}"', strict=False))
    except ValueError:
        return string


def _from_tags(text: str) -> list[str]:
    return [inner for _, inner in _TAG.findall(text)]


def _from_lines(text: str, torn: bool) -> list[str]:
    lines = text.splitlines()
    # the last line of an answer that hit its limit is half a question
    lines = lines[:-1] if torn else lines
    marked = [match["text"] for line in lines if (match := _MARK.match(line))]
    return marked or [line for line in lines if line.rstrip().endswith(("?", "？"))]


def _clean(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        plain = mend(" ".join(whole(text).split())).text
        while match := _WRAPPED.match(plain):
            plain = match[1]
        if plain:
            yield plain
