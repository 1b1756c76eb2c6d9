"""gather: every row of the seeds and data files as a conversation; nothing is lost in silence."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from factory.artifacts import Rejected, Row, Rows, hash_json
from factory.contracts import Progress
from factory.errors import ConfigErrors, Problem, UsageError
from factory.rows import encoding, files
from factory.rows.formats import BadRow, conversation, from_pair, writable
from factory.spec import Seed
from factory.store import Stage

_HEAD = 64 * 1024
_REPORT_EVERY = 500


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file that can be opened; `digest` covers its name and its bytes, 64 hex digits."""

    name: str
    """As written in the persona file."""
    path: Path
    digest: str


def data_file(name: str, folder: Path) -> DataFile:
    """Find a data file and refuse what cannot be one, before anything else is done.

    Args:
        name: Path as written in the persona file.
        folder: Where the persona file is; relative names start there.

    Raises:
        UsageError: If it is missing, a folder, empty, larger than 100 MB, unreadable or not text.
    """
    try:
        path = (folder / os.path.expanduser(name)).resolve()
        _check_kind(name, path)
        _check_size(name, path.stat().st_size)
        with path.open("rb") as file:
            encoding.refuse_binary(path, f"data: {name}", file.read(_HEAD))
        digest = _digest(name, path)
    except OSError as error:
        raise UsageError(
            "this data file cannot be read",
            where=f"data: {name}",
            got=error.strerror,
            hint="check its name and its permissions",
        ) from error
    return DataFile(name, path, digest)


def _digest(name: str, path: Path) -> str:
    with path.open("rb") as file:
        return hash_json([name, hashlib.file_digest(file, "sha256").hexdigest()])


def _check_kind(name: str, path: Path) -> None:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in (".json", ".jsonl", ".csv"))
        raise UsageError(
            "this is a folder, not a data file",
            where=f"data: {name}",
            got=str(path),
            allowed="a JSON, JSON Lines or CSV file",
            hint=f"name its files, such as {name.rstrip('/')}/{inside[0]}" if inside else None,
        )
    if not path.is_file():
        raise UsageError(
            "there is no such data file", where=f"data: {name}", got=str(path), hint=_beside(path)
        )


def _check_size(name: str, size: int) -> None:
    if size == 0:
        raise UsageError(
            "this data file is empty",
            where=f"data: {name}",
            got="0 bytes",
            hint="add rows, or remove it from `data`",
        )
    if size > encoding.MAX_BYTES:
        raise UsageError(
            "this data file is too large",
            where=f"data: {name}",
            got=f"{size / 2**20:.0f} MB",
            allowed=f"{encoding.MAX_BYTES / 2**20:.0f} MB",
            hint="50 to 200 good rows teach a voice; take a sample",
        )


def _beside(path: Path) -> str:
    from difflib import get_close_matches

    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist either; paths start at the persona file"
    close = get_close_matches(path.name, [p.name for p in path.parent.iterdir()], 1, 0.6)
    return f"did you mean {close[0]}?" if close else "paths start at the persona file's folder"


@dataclass(slots=True)
class _Tally:
    """What one source gave."""

    format: str = ""
    encoding: str = "utf-8"
    rows: int = 0
    rejected: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    first: str = ""
    """Why its first rejected row was rejected, with its place."""


def run(
    config: None,
    /,
    *,
    out: Path,
    progress: Progress,
    name: str,
    seeds: tuple[Seed, ...],
    files: list[DataFile],
) -> dict[str, Any]:
    """Read every source into rows.jsonl, and what could not be read into rejected.jsonl.

    Args:
        config: gather has no section of its own.
        out: Folder to write to.
        progress: Called with `step` (rows so far) and `note` (the file).
        name: The persona's name, for the ids of its seeds.
        seeds: Example pairs of the persona file.
        files: Data files, in order.

    Raises:
        UsageError: If a file as a whole cannot be read, none of its rows can, or it is not what it
            was when `data_file` found it; with the first problem of every such file.
    """
    repeated = [n for n, times in Counter(file.path for file in files).items() if times > 1]
    if repeated:
        raise UsageError(
            "this data file is listed twice",
            where="data",
            got=str(repeated[0]),
            hint="list it once",
        )
    total = Counter[str](rows=len(seeds))
    tallies: dict[str, _Tally] = {}
    wrong: list[UsageError] = []
    with (
        (out / "rows.jsonl").open("w", encoding="utf-8") as rows,
        (out / "rejected.jsonl").open("w", encoding="utf-8") as rejected,
    ):
        for row in _seed_rows(name, seeds):
            rows.write(_line(row))
        for file in files:
            tally = tallies[file.name] = _Tally()
            try:
                for item in _file_rows(file, tally):
                    if "messages" in item:
                        tally.rows += 1
                        rows.write(_line(item))
                    else:
                        tally.rejected += 1
                        tally.first = tally.first or f"{item['id']}: {item['detail']}"
                        rejected.write(_line(item))
                    done = total["rows"] + total["rejected"] + tally.rows + tally.rejected
                    if done % _REPORT_EVERY == 0:
                        progress(step=done, note=file.name)
                _require_rows(file, tally)
            except UsageError as error:
                wrong.append(error)
            total.update(rows=tally.rows, rejected=tally.rejected)
    if wrong:
        raise _together(wrong)
    progress(step=total["rows"] + total["rejected"], total=total["rows"] + total["rejected"])
    return {
        "rows": total["rows"],
        "rejected": total["rejected"],
        "seeds": len(seeds),
        "files": {key: _facts(tally) for key, tally in tallies.items()},
    }


def _together(errors: list[UsageError]) -> UsageError:
    if len(errors) == 1:
        return errors[0]
    problems = []
    for error in errors:
        got = None if error.got is None else str(error.got)
        place = str(error.where)
        problems.append(Problem(place, "", error.what, got, error.allowed, error.hint))
    return ConfigErrors(problems)


def _line(item: Row | Rejected) -> str:
    return json.dumps(item, ensure_ascii=False) + "\n"


def _facts(tally: _Tally) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "format": tally.format,
        "encoding": tally.encoding,
        "rows": tally.rows,
        "rejected": tally.rejected,
    }
    return facts | ({"ignored_fields": dict(tally.ignored)} if tally.ignored else {})


def _require_rows(file: DataFile, tally: _Tally) -> None:
    if tally.rows:
        return
    count = tally.rejected
    raise UsageError(
        f"not one of its {count} rows can be used" if count else "this data file has no rows",
        where=f"data: {file.name}",
        got=tally.first or None,
        allowed='{"instruction", "output"}, {"messages": [...]} or {"conversations": [...]}',
        hint="mend the rows, or remove the file from `data`",
    )


def _seed_rows(name: str, seeds: tuple[Seed, ...]) -> Iterator[Row]:
    for number, seed in enumerate(seeds, 1):
        messages = from_pair(
            seed.instruction, seed.output, material=seed.input, history=seed.history
        )
        yield {"id": f"{name}:seed {number}", "messages": messages}


def _file_rows(file: DataFile, tally: _Tally) -> Iterator[Row | Rejected]:
    """The rows of a file, which must still be what its digest says: they are kept under it."""
    try:
        yield from _read_rows(file, tally)
        same = _digest(file.name, file.path) == file.digest
        got = "other content than at the start"
    except OSError as error:
        same, got = False, str(error.strerror)
    if not same:
        raise UsageError(
            "this data file changed during the build",
            where=f"data: {file.name}",
            got=got,
            hint="start again; what was finished is kept",
        )


def _read_rows(file: DataFile, tally: _Tally) -> Iterator[Row | Rejected]:
    where = file.name
    codec = encoding.detect(file.path, where)
    kind = files.kind_of(file.path, codec, where)
    tally.format, tally.encoding = kind, codec.removesuffix("-sig")
    repairs = ["encoding_gb18030"] if codec == "gb18030" else []
    line, nth = 0, 1
    for found in files.read(file.path, codec, kind, where):
        nth = nth + 1 if found.line == line else 1
        line = found.line
        id = f"{where}:{line}" if nth == 1 else f"{where}:{line}#{nth}"
        try:
            if found.broken:
                raise found.broken
            talk = conversation(found.value)
        except BadRow as bad:
            yield {
                "id": id,
                "reason": bad.reason,
                "detail": bad.detail,
                "text": writable(found.text),
            }
            continue
        tally.ignored.update(map(writable, talk.ignored))
        row: Row = {"id": id, "messages": talk.messages}
        if repairs:
            row["repairs"] = list(repairs)
        yield row


STAGE = Stage("gather", version=1, makes=Rows, run=run)
