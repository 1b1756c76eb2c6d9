"""Reads the values out of JSON, JSON Lines and CSV files, each with the line it began on."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from factory.errors import UsageError
from factory.rows.formats import ALPACA, BadRow, nearest, show

Kind = Literal["JSON", "JSON Lines", "CSV"]

_MAX_FIELD = 10_000_000
_SPACE = re.compile(r"[\s\ufeff]*")


@dataclass(frozen=True, slots=True)
class Found:
    """One element of a file: where it began, and its value or why it has none."""

    line: int
    value: Any
    text: str
    """The beginning of the element as it was read."""
    broken: BadRow | None = None


def kind_of(path: Path, encoding: str, where: str) -> Kind:
    """Tell JSON, JSON Lines and CSV apart by what the file begins with, whatever its name.

    Raises:
        UsageError: If it is none of them, or holds nothing but blanks.
    """
    with path.open(encoding=encoding) as file:
        head = ""
        for line in file:
            head = line.strip()
            if head:
                break
    if not head:
        raise UsageError(
            "this data file has nothing in it",
            where=where,
            hint="add rows, or remove it from `data`",
        )
    if head.startswith("["):
        return "JSON"
    if head.startswith("{"):
        whole = path.suffix.lower() == ".json" and not _parses(head)
        return "JSON" if whole else "JSON Lines"
    if path.suffix.lower() in (".csv", ".tsv") or set(_header(head)) & {"instruction", "output"}:
        return "CSV"
    if path.suffix.lower() == ".jsonl":
        return "JSON Lines"
    raise UsageError(
        "this data file is not in a format that can be read",
        where=f"{where}:1",
        got=show(head),
        allowed="a JSON list, JSON Lines, or CSV with a header",
        hint='the shortest row is {"instruction": "...", "output": "..."}',
    )


def _parses(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def read(path: Path, encoding: str, kind: Kind, where: str) -> Iterator[Found]:
    """Every element of a file in order.

    JSON Lines and CSV are streamed; a JSON document is held as text and parsed piece by piece.

    Raises:
        UsageError: If the file as a whole cannot be read: broken JSON with line and column, a CSV
            header without the needed columns, a quote that is never closed.
    """
    readers = {"JSON": _read_json, "JSON Lines": _read_lines, "CSV": _read_csv}
    return readers[kind](path, encoding, where)


# --- JSON --------------------------------------------------------------------------------------


def _read_json(path: Path, encoding: str, where: str) -> Iterator[Found]:
    text = path.read_text(encoding)
    decoder = json.JSONDecoder()
    position = _skip(text, 0)
    listed = text[position] == "["
    position = _skip(text, position + 1) if listed else position
    line, counted = 1, 0
    while not (listed and text[position : position + 1] == "]"):
        line += text.count("\n", counted, position)
        counted = position
        try:
            value, end = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            at, reason = getattr(error, "pos", position), getattr(error, "msg", str(error))
            raise _broken(text, at, reason, where) from error
        yield Found(line, value, text[position : min(end, position + 300)])
        position = _skip(text, end)
        if not listed:
            break
        mark = text[position : position + 1]
        if mark == ",":
            position = _skip(text, position + 1)
        elif mark != "]":
            raise _broken(text, position, "Expecting ',' or ']'", where)
    rest = _skip(text, position + listed)
    if rest < len(text):
        raise _broken(text, rest, "Extra data after the end", where)


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _broken(text: str, position: int, reason: str, where: str) -> UsageError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    torn = position >= len(text.rstrip()) or "Unterminated string" in reason
    return UsageError(
        "this JSON file is cut off" if torn else "this JSON file is broken",
        where=f"{where}:{line}:{column}",
        got=f"{reason}, after {show(text[max(0, position - 40) : position])}"
        if position
        else reason,
        allowed="a JSON list of rows, closed with ]",
        hint="download or export it again" if torn else "mend this place; an editor marks it",
    )


def _read_lines(path: Path, encoding: str, where: str) -> Iterator[Found]:
    with path.open(encoding=encoding) as file:
        for number, line in enumerate(file, 1):
            line = line.strip().lstrip("\ufeff")
            if not line:
                continue
            try:
                yield Found(number, json.loads(line), line[:300])
            except (ValueError, RecursionError) as error:
                at = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
                reason = getattr(error, "msg", str(error))
                detail = f"this line is not one JSON value: {reason}{at}"
                yield Found(number, None, line[:300], BadRow("broken_json", detail))


# --- CSV ---------------------------------------------------------------------------------------


def _delimiter(header: str) -> str:
    return max(",;\t", key=header.count)


def _header(line: str) -> list[str]:
    names = next(csv.reader([line], delimiter=_delimiter(line)), [])
    return [name.strip().strip("\ufeff").lower() for name in names]


def _read_csv(path: Path, encoding: str, where: str) -> Iterator[Found]:
    csv.field_size_limit(_MAX_FIELD)
    with path.open(encoding=encoding, newline="") as file:
        first = file.readline()
        start = 1
        while not first.strip():
            first, start = file.readline(), start + 1
        names = _header(first)
        _check_header(names, f"{where}:{start}")
        reader = csv.reader(file, delimiter=_delimiter(first), strict=True)
        while True:
            line = start + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise UsageError(
                    "this CSV file is broken from here on",
                    where=f"{where}:{line}",
                    got=str(error),
                    allowed='quotes inside a quoted cell written twice: ""',
                    hint="look for a quote that is never closed",
                ) from error
            if any(cell.strip() for cell in cells):
                yield _csv_row(names, cells, line)


def _check_header(names: list[str], where: str) -> None:
    missing = [name for name in ("instruction", "output") if name not in names]
    if not missing:
        return
    close = nearest(missing[0], names)
    raise UsageError(
        f"this CSV file has no column {missing[0]!r}",
        where=where,
        got=", ".join(names),
        allowed=", ".join(ALPACA),
        hint=f"rename the column {close!r} to {missing[0]!r}"
        if close
        else "write the names of the columns in the first line",
    )


def _csv_row(names: list[str], cells: list[str], line: int) -> Found:
    text = ",".join(cells)[:300]
    if len(cells) != len(names):
        detail = f"{len(cells)} cells, but the header has {len(names)} columns"
        hint = "; put text with commas in quotes" if len(cells) > len(names) else ""
        return Found(line, None, text, BadRow("wrong_columns", detail + hint))
    # an empty cell of an optional column is how CSV says that there is none
    value: dict[str, Any] = {
        name: cell
        for name, cell in zip(names, cells, strict=True)
        if cell or name in ("instruction", "output")
    }
    if "history" in value:
        try:
            value["history"] = json.loads(value["history"])
        except ValueError:
            wanted = "`history` must be a JSON list of [user, assistant] pairs"
            bad = BadRow("wrong_type", f"{wanted}, found {show(value['history'])}")
            return Found(line, None, text, bad)
    return Found(line, value, text)
