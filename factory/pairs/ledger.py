"""The ledger of calls: every question ever put to a teacher with its answer, so that none is paid twice.

An SQLite file in WAL mode. A row is written before its question is sent and again when the answer is
there, so a kill at any moment costs at most the calls in flight. Keys and headers never come here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Self

from factory.artifacts import hash_json
from factory.contracts import Reply, Request
from factory.database import Database

VERSION = 1
"""Of the tables; a file with a higher one was written by a later release."""

_TABLES = """
    CREATE TABLE IF NOT EXISTS calls (
        key TEXT PRIMARY KEY,
        endpoint TEXT NOT NULL,
        model TEXT NOT NULL,
        request TEXT NOT NULL,
        state TEXT NOT NULL,
        reply TEXT,
        prompt_tokens INTEGER NOT NULL DEFAULT 0,
        completion_tokens INTEGER NOT NULL DEFAULT 0,
        cost REAL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 1,
        created TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS endpoints (key TEXT PRIMARY KEY, facts TEXT NOT NULL)
"""
_BEGIN = """
    INSERT INTO calls (key, endpoint, model, request, state, created)
    VALUES (?, ?, ?, ?, 'in_flight', ?)
    ON CONFLICT (key) DO UPDATE SET state = 'in_flight', attempts = attempts + 1
"""
_END = """
    UPDATE calls SET state = ?, reply = ?, prompt_tokens = prompt_tokens + ?,
        completion_tokens = completion_tokens + ?, cost = cost + ?
    WHERE key = ?
"""
_LOOK = """
    SELECT state, reply, attempts, prompt_tokens, completion_tokens, cost FROM calls WHERE key = ?
"""
_SPENT = """
    SELECT coalesce(sum(attempts), 0), coalesce(sum(prompt_tokens), 0),
        coalesce(sum(completion_tokens), 0), coalesce(sum(cost), 0.0), count(*) - count(cost)
    FROM calls
"""
_AT_ONCE = 500
"""Keys looked up by one statement."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What calls cost, tries that failed included."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0
    """None if the price of any of them is unknown, which is not the same as nothing."""

    def __add__(self, other: Spent) -> Spent:
        known = self.usd is not None and other.usd is not None
        return Spent(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            (self.usd or 0.0) + (other.usd or 0.0) if known else None,
        )


def key(endpoint: str, model: str, request: Request, template_version: int | str) -> str:
    """What identifies a call: everything that decides its answer, 64 hex digits."""
    of_call = {"endpoint": endpoint, "model": model, "template": template_version}
    return hash_json({**of_call, **_fields(request)})


def _fields(request: Request) -> dict[str, Any]:
    # `asdict` would copy all messages
    return {field.name: getattr(request, field.name) for field in fields(request)}


class Ledger:
    """The calls in one file, which several processes may use at the same time; a context manager.

    Args:
        file: The SQLite file; it and its folder are created when they are missing.

    Raises:
        FactoryError: From every method, if the file cannot be read or written.
    """

    def __init__(self, file: Path) -> None:
        self._database = Database(file, _TABLES, VERSION, "the ledger of paid calls")
        self._run = self._database.run

    def __enter__(self) -> Self:
        self._database.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._database.__exit__(*error)

    def find(self, key: str) -> Reply | None:
        """The answer to a call, if it was ever given."""
        return self.look(key)[0]

    def look(self, key: str) -> tuple[Reply | None, Spent]:
        """The answer to a call, if it was ever given, and what the call cost so far."""
        rows = self._run(_LOOK, key)
        if not rows:
            return None, Spent()
        state, reply, *spent = rows[0]
        return Reply(**json.loads(reply)) if state == "ok" else None, Spent(*spent)

    def date(self, key: str) -> str | None:
        """When a call was first sent, in UTC and ISO form; None if it never was."""
        rows = self._run("SELECT created FROM calls WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def begin(self, key: str, *, endpoint: str, model: str, request: Request) -> None:
        """A call, or another try of it, is about to be sent."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._run(_BEGIN, key, endpoint, model, json.dumps(_fields(request)), now)

    def done(self, key: str, reply: Reply, cost: float | None) -> None:
        """The call was answered.

        Args:
            key: The call's.
            reply: The answer.
            cost: US dollars, None if unknown.
        """
        self._end(key, "ok", asdict(reply), reply, cost)

    def failed(
        self,
        key: str,
        kind: str,
        message: str,
        reply: Reply | None = None,
        cost: float | None = 0.0,
    ) -> None:
        """A try of the call failed.

        Args:
            key: The call's.
            kind: As in `TeacherError`.
            message: The endpoint's own words.
            reply: What was charged for, though it is no answer.
            cost: US dollars, None if unknown.
        """
        self._end(key, "failed", {"kind": kind, "message": message}, reply, cost)

    def spent(self, keys: Iterable[str] | None = None) -> Spent:
        """What these calls cost; all calls of the file if left out. Unknown keys count nothing."""
        if keys is None:
            return self._spent("")
        total, rest = Spent(), iter(keys)
        while part := list(islice(rest, _AT_ONCE)):
            total += self._spent(f"WHERE key IN ({','.join('?' * len(part))})", *part)
        return total

    def facts(self, endpoint: str) -> dict[str, Any] | None:
        """What was remembered about an endpoint."""
        rows = self._run("SELECT facts FROM endpoints WHERE key = ?", endpoint)
        return dict(json.loads(rows[0][0])) if rows else None

    def remember(self, endpoint: str, facts: dict[str, Any]) -> None:
        """Keep what was learned about an endpoint."""
        self._run("INSERT OR REPLACE INTO endpoints VALUES (?, ?)", endpoint, json.dumps(facts))

    def _end(
        self, key: str, state: str, kept: dict[str, Any], reply: Reply | None, cost: float | None
    ) -> None:
        prompt = (reply.prompt_tokens or 0) if reply else 0
        completion = reply.token_count if reply else 0
        self._run(_END, state, json.dumps(kept), prompt, completion, cost, key)

    def _spent(self, where: str, *values: str) -> Spent:
        requests, prompt, completion, usd, unknown = self._run(_SPENT + where, *values)[0]
        return Spent(requests, prompt, completion, None if unknown else usd)
