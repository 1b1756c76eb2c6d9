"""Who may call: keys that are shown once and stored as hashes, and the doorkeeper that knows them.

A key is `pf-<id>-<secret>`. The id is public and finds the stored hash; the secret has 192 random bits, so
that one round of a salted SHA-256 is as good as a slow hash and costs nothing on the way to an answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request

from factory.database import Database
from factory.errors import FactoryError, UsageError
from serve.limits import UNLIMITED, Limits
from serve.protocol import ApiError

log = logging.getLogger("serve")

FILE = "serving.sqlite"
INTERVAL = 1.0
"""Seconds after which a running endpoint looks whether keys were made or revoked."""

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


@dataclass(frozen=True, slots=True)
class Client:
    """Who is calling, and what that allows."""

    id: str
    """A key's id, `operator`, or `local` where no key is needed."""
    personas: frozenset[str] = frozenset()
    """Those it may talk to; none means all."""
    limits: Limits = UNLIMITED

    def may(self, persona: str) -> bool:
        """Whether it may talk to this persona."""
        return not self.personas or persona in self.personas

    def allowed(self, model: str) -> str:
        """The model it asks for, which is NAME or NAME@N, if it may.

        Raises:
            ApiError: 403 `persona_not_allowed`. It says nothing about whether there is such a persona.
        """
        if not self.may(model.partition("@")[0]):
            raise ApiError(
                403,
                f"this key may use {', '.join(sorted(self.personas))}, not {model[:80]!r}",
                code="persona_not_allowed",
                param="model",
            )
        return model


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
            id, label, salt, _digest(salt, text.encode()), tuple(dict.fromkeys(personas)), limits,
            now, None if lifetime is None else now + lifetime, None,
        )  # fmt: skip
        with self._database() as database:
            database.run(
                f"INSERT INTO keys VALUES ({', '.join('?' * 11)})",
                id, label, salt.hex(), key.digest.hex(), json.dumps(key.personas),
                limits.requests, limits.tokens, limits.streams, now, key.expires, None,
            )  # fmt: skip
        return text, key

    def keys(self) -> list[Key]:
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
        id = ref.strip().removeprefix("pf-").partition("-")[0]
        keys = {key.id: key for key in self.keys()}
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


class Doorkeeper:
    """Admits clients to a running endpoint; notices new and revoked keys within INTERVAL.

    Once it has seen a usable key it never opens the door again, whatever is revoked. With no key at all
    everybody is let in: such an endpoint must be out of other machines' reach.

    Args:
        keyring: Stored keys, if there are any to be had.
        operator: A key from the environment, which may do everything; None or blank for none.
        defaults: Limits of clients that have none of their own; the operator has none.
        clock: Seconds that never go back.

    Raises:
        FactoryError: If the stored keys cannot be read.
    """

    def __init__(
        self,
        keyring: Keyring | None = None,
        *,
        operator: str | None = None,
        defaults: Limits = UNLIMITED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        operator = (operator or "").strip()
        self._keyring = keyring
        self._defaults = defaults
        self._clock = clock
        self._now = keyring.now if keyring else time.time
        # Nothing hashes to the stand-ins: the work is the same with and without a key to compare.
        self._operator = _digest(b"", operator.encode()) if operator else secrets.token_bytes(32)
        self._stranger = secrets.token_bytes(32)
        self.locked = bool(operator)
        """Whether a key is needed."""
        self._keys: dict[str, Key] = {}
        self._mark, self._settled = keyring.mark() if keyring else (), False
        self._know(keyring.keys() if keyring else [])
        self._look_at = clock() + INTERVAL

    async def check(self, request: Request) -> None:
        """As a dependency: the client lands in `request.state.client`, its id in the trace."""
        request.state.client = client = await self.admit(request.headers)
        request.state.trace.client = client.id

    async def admit(self, headers: Mapping[str, str]) -> Client:
        """Who sends these headers: `Authorization: Bearer KEY`, or `x-api-key: KEY`.

        Raises:
            ApiError: 401 `invalid_api_key`.
        """
        if self._keyring and self._clock() >= self._look_at:
            await self._look(self._keyring)
        if not self.locked:
            return Client("local", limits=self._defaults)
        given = _given(headers)
        if not given:
            raise _refused("send an API key as `Authorization: Bearer KEY` or `x-api-key: KEY`")
        # The id is no secret. Both comparisons are always made, and neither stops at a difference.
        key = self._keys.get(given[3:11].decode("latin-1"))
        salt, digest = (key.salt, key.digest) if key else (b"", self._stranger)
        stored = secrets.compare_digest(_digest(salt, given), digest)
        if secrets.compare_digest(_digest(b"", given), self._operator):
            return Client("operator")
        if key is None or not stored:
            raise _refused("the API key is wrong")
        if (state := key.state(self._now())) != "active":
            raise _refused(f"this API key is {state}")
        return Client(key.id, frozenset(key.personas), key.limits.or_else(self._defaults))

    async def _look(self, keyring: Keyring) -> None:
        # Set first: whoever asks in the meantime is served by what is known already.
        self._look_at = self._clock() + INTERVAL
        mark = keyring.mark()
        same = mark == self._mark
        if same and self._settled:
            return
        try:
            keys = await asyncio.to_thread(keyring.keys)
        except FactoryError as error:
            log.error("keys cannot be read, the last known ones hold: %s", error.what)
            return
        # A second change within a clock tick of the first leaves no mark: read once more next time.
        self._mark, self._settled = mark, same
        self._know(keys)

    def _know(self, keys: Sequence[Key]) -> None:
        self._keys = {key.id: key for key in keys}
        now = self._now()
        self.locked = self.locked or any(key.state(now) == "active" for key in keys)


def _given(headers: Mapping[str, str]) -> bytes:
    scheme, _, bearer = headers.get("authorization", "").strip().partition(" ")
    given = bearer.strip() if scheme.lower() == "bearer" else ""
    given = given or headers.get("x-api-key", "").strip()
    return given.encode("latin-1")  # the bytes as they came


def _refused(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers={"www-authenticate": "Bearer"})


def _digest(salt: bytes, text: bytes) -> bytes:
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
