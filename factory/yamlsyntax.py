"""What a YAML parser's complaint means to somebody who has never read the YAML specification."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from ruamel.yaml.error import MarkedYAMLError

from factory.errors import Problem


class _Finding(NamedTuple):
    line: int
    """Line index, from 0."""
    what: str
    hint: str | None = None


_QUOTE = 'put the whole text in quotes: "..."'
_SPACE = "put a space after the colon: `key: value`"
_WIDE = "use the plain colon `:` and a space instead of the wide `：`"


def explain(path: Path, text: str, error: MarkedYAMLError) -> list[Problem]:
    """Say what is wrong with a text that is not YAML.

    The parser stops at the first mistake, so this is one problem; only tabs are all found.
    """
    lines = text.split("\n")
    found = [
        _Finding(i, "a tab is used for indentation", "replace it by spaces")
        for i, line in enumerate(lines)
        if re.match(r" *\t", line)
    ]
    if not (found and "'\\t'" in str(error.problem)):
        found = [_diagnose(text, lines, error)]
    return [
        Problem(f"{path}:{f.line + 1}", "", f.what, got=_shorten(lines[f.line]), hint=f.hint)
        for f in found
    ]


def not_a_mapping(path: Path, text: str, line: int, is_list: bool) -> list[Problem]:
    """Say that a file is a list or a text where `key: value` lines are wanted."""
    wide = [i for i, content in enumerate(text.split("\n"), 1) if _wide_colon(content)]
    if wide and not is_list:
        what = "a wide colon stands where YAML wants a plain one"
        return [Problem(f"{path}:{i}", "", what, hint=_WIDE) for i in wide]
    return [
        Problem(
            f"{path}:{line}",
            "",
            "a persona file is made of `key: value` lines",
            got="a list" if is_list else f"a text: {_shorten(text)}",
            hint="put a list of pairs into a data file and name it under `data:`"
            if is_list
            else _SPACE,
        )
    ]


def _diagnose(text: str, lines: list[str], error: MarkedYAMLError) -> _Finding:
    problem = str(error.problem)
    # Lines are counted from the index because marks also count U+2028 as a line end.
    index = min((error.problem_mark or error.context_mark).index, len(text.rstrip()))
    at = text.count("\n", 0, index)
    column = index - (text.rfind("\n", 0, index) + 1)
    opened = error.context_mark.index if error.context_mark else index
    start = text.count("\n", 0, min(opened, index))
    line = lines[at]
    if "cannot start any token" in problem:
        if "'\\t'" in problem:
            return _Finding(at, "a tab stands where YAML wants a space", "replace it by a space")
        return _Finding(at, f"a text cannot begin with `{line[column : column + 1]}`", _QUOTE)
    if "undefined alias" in problem:
        return _Finding(at, "a text cannot begin with `*`", _QUOTE)
    if "escape character" in problem or "escape sequence" in problem:
        hint = "write the backslash twice, or use single quotes: '...'"
        return _Finding(at, f"`\\{line[column : column + 1]}` means nothing in double quotes", hint)
    if "mapping values are not allowed" in problem:
        return _stray_colon(lines, at, column)
    if "expected ':'" in problem:
        return _Finding(start, "this line is not `key: value`", _colon_hint(lines[start]))
    if "single document" in str(error.context):
        return _Finding(at, "a persona file holds one document", "remove the line `---`")
    if "unexpected end of stream" in problem:
        return _Finding(start, "the quote that opens here is never closed", "close it")
    if "stream end" in problem or "document end" in problem:
        what = "the file ends before what opens here is closed"
        return _Finding(start, what, "is the file cut off? close every [ and {")
    if "expected ',' or" in problem:
        what = f"what opens on line {start + 1} is not closed where it should be"
        return _Finding(at, what, "close every [ and {, and separate items by commas")
    if "expected <block end>" in problem:
        if re.search(r"[\"'\]}]", line[:column]):
            return _Finding(at, "text follows a closing quote or bracket", _QUOTE)
        return _Finding(
            at, "this line does not line up with those above it", "check its indentation"
        )
    return _Finding(at, f"this is not valid YAML: {problem}", _QUOTE)


def _stray_colon(lines: list[str], at: int, column: int) -> _Finding:
    if re.search(r":\s", lines[at][:column]):
        return _Finding(at, "a text with `: ` in it needs quotes", _QUOTE)
    above = next((i for i in range(at - 1, -1, -1) if lines[i].strip()), at)
    if _colon_hint(lines[above]) in (_SPACE, _WIDE) and above != at:
        return _Finding(above, "this line is not `key: value`", _colon_hint(lines[above]))
    return _Finding(
        at, "this line is indented further than those above it", "check its indentation"
    )


def _wide_colon(line: str) -> bool:
    return re.match(r"[\s-]*\w+\s*：", line) is not None


def _colon_hint(line: str) -> str:
    if _wide_colon(line):
        return _WIDE
    if re.match(r"[\s-]*\w+:\S", line):
        return _SPACE
    return "is it cut off? a line that continues the text above it must be indented"


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 70 else text[:69] + "…"
