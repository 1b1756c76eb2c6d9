"""Keys that let clients in: shown once, stored as hashes.

A key is `pf-<id>-<secret>`. The id is public and finds the stored hash; the secret has 192 random bits, so
that one round of a salted SHA-256 is as good as a slow hash and costs nothing on the way to an answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from factory.database import Database
from factory.errors import UsageError
from serve.limits import UNLIMITED, Limits

FILE = "serving.sqlite"
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
LONGEST = 100 * 365 * UNITS["d"]
"""Seconds that a key may live; beyond it, dates end and nobody means it."""

_TABLES = """
CREATE TABLE keys (
    id TEXT PRIMARY KEY, label TEXT NOT NULL, salt TEXT NOT NULL, digest TEXT NOT NULL,
    personas TEXT NOT NULL, requests INTEGER, tokens INTEGER, streams INTEGER,
    created REAL NOT NULL, expires REAL, revoked REAL
)
"""


@dataclass(frozen=True, slots=True)
class Key:
    """What is stored of a key."""

    id: str
    label: str
    salt: bytes
    digest: bytes
    personas: tuple[str, ...]
    """Those it may talk to; none means all."""
    limits: Limits
    created: float
    expires: float | None
    revoked: float | None

    def state(self, now: float) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"

    def facts(self, now: float) -> dict[str, str]:
        """What people are shown of it."""
        limits = (
            ("rpm", self.limits.requests),
            ("tpm", self.limits.tokens),
            ("streams", self.limits.streams),
        )
        return {
            "id": self.id,
            "name": self.label,
            "state": self.state(now),
            "personas": ", ".join(self.personas) or "all",
            "limits": ", ".join(f"{what} {limit}" for what, limit in limits if limit is not None),
            "created": _day(self.created),
            "expires": "never" if self.expires is None else _day(self.expires),
        }


class Keyring:
    """The keys of one `$FACTORY_HOME`.

    Args:
        root: `$FACTORY_HOME`.
        now: Seconds since 1970.

    Raises:
        FactoryError: From every method, if the file cannot be read or written.
    """

    def __init__(self, root: Path, now: Callable[[], float] = time.time) -> None:
        self.file = root / FILE
        self.now = now

    def create(
        self,
        label: str = "",
        *,
        personas: Iterable[str] = (),
        lifetime: float | None = None,
        limits: Limits = UNLIMITED,
    ) -> tuple[str, Key]:
        """Make a key; its text is returned here and can never be read again.

        Args:
            label: For people, to tell keys apart.
            personas: Names it may talk to; none for all.
            lifetime: Seconds until it expires; None for never.
            limits: What is not set follows the endpoint's defaults.
        """
        id, salt, now = secrets.token_hex(4), secrets.token_bytes(16), self.now()
        text = f"pf-{id}-{secrets.token_hex(24)}"
        key = Key(
            id, label, salt, digest(salt, text.encode()), tuple(dict.fromkeys(personas)), limits,
            now, None if lifetime is None else now + lifetime, None,
        )  # fmt: skip
        with self._database() as database:
            database.run(
                f"INSERT INTO keys VALUES ({', '.join('?' * 11)})",
                id, label, salt.hex(), key.digest.hex(), json.dumps(key.personas),
                limits.requests, limits.tokens, limits.streams, now, key.expires, None,
            )  # fmt: skip
        return text, key

    def stored(self) -> list[Key]:
        """Every key ever made, oldest first; revoked ones, too."""
        if not self.file.exists():
            return []
        with self._database() as database:
            return [_key(row) for row in database.run("SELECT * FROM keys ORDER BY created, id")]

    def revoke(self, ref: str) -> Key:
        """End a key, for good and everywhere.

        Args:
            ref: Its id, or the whole key, for whoever has found one where it should not be.

        Raises:
            UsageError: If there is no such key.
        """
        id = id_of(ref.strip())
        keys = {key.id: key for key in self.stored()}
        if id not in keys:
            raise UsageError(
                "there is no such key",
                got=id[:16],
                allowed=", ".join(k.id for k in keys.values() if k.revoked is None) or "none yet",
                hint="`factory keys list` shows them",
            )
        with self._database() as database:
            database.run(
                "UPDATE keys SET revoked = ? WHERE id = ? AND revoked IS NULL", self.now(), id
            )
        return keys[id]

    def mark(self) -> tuple[Any, ...]:
        """Another value after every change; two looks at file facts, nothing is opened."""
        return tuple(_facts(name) for name in (self.file, f"{self.file}-wal"))

    def _database(self) -> Database:
        return Database(self.file, _TABLES, 1, "the file of keys")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


def id_of(text: str) -> str:
    """The public part of a key; an id is its own."""
    return text.removeprefix("pf-").partition("-")[0]


def lifetime(text: str) -> float:
    """Seconds, from a number with a unit.

    Raises:
        UsageError: If it is none, or longer than LONGEST.
    """
    number, unit = text[:-1], text[-1:]
    plain = number.isdecimal() and len(number) <= 10 and unit in UNITS
    seconds = int(number) * UNITS[unit] if plain else 0
    if not 0 < seconds <= LONGEST:
        raise UsageError(
            "this is no length of time",
            where="--expires",
            got=text,
            allowed="a number and m, h, d or w, up to 100 years: 12h, 30d, 52w",
        )
    return seconds


def digest(salt: bytes, text: bytes) -> bytes:
    """What is stored of a key's text."""
    return hashlib.sha256(salt + text).digest()


def _key(row: Sequence[Any]) -> Key:
    id, label, salt, digest, personas, requests, tokens, streams, created, expires, revoked = row
    return Key(
        id, label, bytes.fromhex(salt), bytes.fromhex(digest), tuple(json.loads(personas)),
        Limits(requests, tokens, streams), created, expires, revoked,
    )  # fmt: skip


def _facts(file: Path | str) -> tuple[int, ...] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
