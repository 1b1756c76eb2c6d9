"""Keeps what models answered and how likely they found texts, by content: nothing is measured twice."""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from factory.artifacts import hash_json
from factory.database import Database
from factory.errors import FactoryError

KEPT = 100_000
"""Entries kept at most; the oldest go first. An evaluation writes one or two thousand of about a
kilobyte, so the file stays near 100 MB and holds dozens of evaluations."""

_TABLES = """
CREATE TABLE IF NOT EXISTS measured (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS written (number INTEGER PRIMARY KEY, key TEXT NOT NULL)
"""
_GET = "SELECT key, value FROM measured WHERE key IN (SELECT value FROM json_each(?))"
_NEW = """
INSERT INTO written (key) SELECT json_extract(value, '$[0]') FROM json_each(?)
WHERE json_extract(value, '$[0]') NOT IN (SELECT key FROM measured)
"""
_PUT = """
INSERT OR IGNORE INTO measured
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)
"""
_OLD = "number <= (SELECT max(number) FROM written) - ?"
_FORGET = (
    f"DELETE FROM measured WHERE key IN (SELECT key FROM written WHERE {_OLD})",
    f"DELETE FROM written WHERE {_OLD}",
)


class Cache:
    """A context manager over one SQLite file in WAL mode, which several processes may use.

    A damaged file is set aside and begun anew, for it holds nothing that cannot be measured again;
    `note` then says so.

    Args:
        file: Created when it is missing, with its folder.

    Raises:
        FactoryError: From every method, if the file cannot be written, or from entering, if a later
            release wrote it.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.note: str | None = None
        """What a person should know about the file."""
        self._database = self._closed()

    def _closed(self) -> Database:
        return Database(self.file, _TABLES, 1, "the cache of measurements")

    def __enter__(self) -> Self:
        try:
            self._open()
        except FactoryError as error:
            self._mend(error)
        return self

    def __exit__(self, *error: object) -> None:
        self._database.__exit__(*error)

    @staticmethod
    def key(**parts: Any) -> str:
        """Hash of everything that decides a measurement, 64 hex digits."""
        return hash_json(parts)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The values of those keys that are there."""
        wanted = json.dumps(list(keys))
        try:
            rows = self._database.run(_GET, wanted)
        except FactoryError as error:
            self._mend(error)
            rows = []
        return {key: json.loads(value) for key, value in rows}

    def put_many(self, values: Mapping[str, Any]) -> None:
        """Keep values of JSON's types, NaN included; all of them or, after a kill, none.

        A key that is there keeps its value: equal keys mean equal work.
        """
        try:
            self._put(values)
        except FactoryError as error:
            self._mend(error)
            self._put(values)

    def _put(self, values: Mapping[str, Any]) -> None:
        # The values as JSON text within JSON: then one statement carries all of them.
        pairs = json.dumps([[key, json.dumps(value)] for key, value in values.items()])
        self._database.run("BEGIN IMMEDIATE")
        try:
            self._database.run(_NEW, pairs)
            self._database.run(_PUT, pairs)
            for statement in _FORGET:
                self._database.run(statement, KEPT)
            self._database.run("COMMIT")
        except BaseException:
            self._database.__exit__()  # also takes back what was begun
            self._open()
            raise

    def _open(self) -> None:
        self._database = self._closed()
        self._database.__enter__()
        self._database.run("SELECT count(*) FROM written")

    def _mend(self, error: FactoryError) -> None:
        """Set a damaged file aside and begin anew; any other error is raised again."""
        if not _damaged(error):
            raise error
        self._database.__exit__()
        with self.file.with_name(f"{self.file.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not self._sound():  # another process may have set it aside while this one waited
                aside = self._aside()
                self.note = (
                    f"{self.file.name} was damaged and begun anew; it is kept as {aside.name}"
                )
            self._open()

    def _sound(self) -> bool:
        try:
            self._open()
            return bool(self._database.run("PRAGMA quick_check") == [("ok",)])
        except FactoryError as error:
            if not _damaged(error):
                raise
            return False
        finally:
            self._database.__exit__()

    def _aside(self) -> Path:
        """Rename the file and what SQLite keeps beside it."""
        names = (f"{self.file.name}.damaged-{n}" for n in range(1, 10_000))
        aside = next(p for name in names if not (p := self.file.with_name(name)).exists())
        for ending in ("-wal", "-shm", ""):
            part = self.file.with_name(self.file.name + ending)
            if part.exists():
                part.replace(aside.with_name(aside.name + ending))
        return aside


def _damaged(error: FactoryError) -> bool:
    """Whether SQLite cannot read the file, rather than not reach, lock or write it."""
    cause = error.__cause__
    return isinstance(cause, sqlite3.DatabaseError) and not isinstance(
        cause, sqlite3.OperationalError
    )
