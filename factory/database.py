"""One SQLite file that several processes may use at once; its troubles are errors a user can act on."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from factory.errors import BusyError, FactoryError

PATIENCE = 30.0
"""Seconds to wait while another process writes."""


class Database:
    """A context manager; each statement is a transaction of its own.

    Args:
        file: Created when it is missing, with its folder.
        tables: Statements that create the tables.
        version: Of the tables; a file with a higher one was written by a later release.
        what: What it holds, for people.

    Raises:
        FactoryError: From every method, if the file cannot be read or written.
    """

    def __init__(self, file: Path, tables: str, version: int, what: str) -> None:
        self.file = file
        self._tables = tables
        self._version = version
        self._what = what
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        with self._errors():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.file, timeout=PATIENCE, isolation_level=None)
            try:
                self._open(connection)
            except BaseException:
                connection.close()
                raise
        self._connection = connection
        return self

    def __exit__(self, *error: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def run(self, statement: str, *values: str | float | None) -> list[Any]:
        """Run one statement; returns its rows."""
        if self._connection is None:
            raise RuntimeError(f"{self._what} is used outside its block")
        with self._errors():
            return self._connection.execute(statement, values).fetchall()

    def _open(self, connection: sqlite3.Connection) -> None:
        """Prepare the file, also while other processes do: then SQLite gives up without waiting."""
        give_up = time.monotonic() + PATIENCE
        while True:
            try:
                return self._prepare(connection)
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.02)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        # Safe against a kill; a power cut may cost the last moments, never the file.
        connection.execute("PRAGMA synchronous = NORMAL")
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > self._version:
            raise FactoryError(
                f"{self._what} was written by a later release",
                where=str(self.file),
                got=f"version {found}",
                allowed=f"version {self._version}",
                hint="update persona-factory, or move the file away to begin a new one",
            )
        if found < self._version:
            mark = f"PRAGMA user_version = {self._version}"
            connection.executescript(f"BEGIN IMMEDIATE; {self._tables}; {mark}; END")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            raise self._unusable(error) from error
        except sqlite3.DatabaseError as error:
            raise FactoryError(
                f"{self._what} cannot be read: this is no such file, or it is damaged",
                where=str(self.file),
                got=str(error),
                hint="move it away; a new one begins without what this one held",
            ) from error

    def _unusable(self, error: Exception) -> FactoryError:
        where = str(self.file)
        if "locked" in str(error):
            return BusyError(
                f"another process keeps {self._what} locked",
                where=where,
                hint="wait for it to end, or stop it; what was written is kept",
            )
        if "full" in str(error) or "No space left" in str(error):
            return FactoryError(
                "the disk is full",
                where=where,
                hint="free some space and run the same command again; finished work is kept",
            )
        return FactoryError(
            f"{self._what} cannot be written",
            where=where,
            got=str(error),
            hint="choose a writable folder with the environment variable FACTORY_HOME",
        )
