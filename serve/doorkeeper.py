"""Who is let in: knows the keys of a running endpoint, and notices new and revoked ones."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import Request

from factory.errors import FactoryError
from serve.keys import Key, Keyring, digest, id_of
from serve.limits import BYTES_PER_TOKEN, UNLIMITED, Limiter, Limits
from serve.listening import is_loopback
from serve.protocol import ApiError
from serve.trace import Trace

log = logging.getLogger("serve")

INTERVAL = 1.0
"""Seconds after which it looks whether keys were made or revoked."""

LOCAL_ORIGINS = (
    r"(https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?|(app|tauri|vscode-webview)://.*)"
)
"""Pages that may call an endpoint without a key: this machine's own. With a key, any page may."""


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


class Doorkeeper:
    """Admits clients to a running endpoint; notices new and revoked keys within INTERVAL.

    Once it has seen a usable key it never opens the door again, whatever is revoked. With no key at all
    everybody is let in but the pages of other sites: such an endpoint must be out of other machines' reach.

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
        self._limiter = Limiter(clock)
        self._now = keyring.now if keyring else time.time
        # Nothing hashes to the stand-ins: the work is the same with and without a key to compare.
        self._operator = digest(b"", operator.encode()) if operator else secrets.token_bytes(32)
        self._stranger = secrets.token_bytes(32)
        self.locked = bool(operator)
        """Whether a key is needed."""
        self._keys: dict[str, Key] = {}
        self._mark, self._settled = keyring.mark() if keyring else (), False
        self._know(keyring.stored() if keyring else [])
        self._look_at = clock() + INTERVAL

    async def check(self, request: Request) -> None:
        """As a dependency: the client lands in `request.state.client`, its id in the trace.

        A request for an answer gets a ticket, which the trace gives back when the answer has ended.
        """
        request.state.client = client = await self.admit(request.headers)
        trace: Trace = request.state.trace
        trace.client = client.id
        if request.method == "POST":
            size = request.headers.get("content-length", "")
            estimate = int(size) // BYTES_PER_TOKEN if size.isdecimal() else 0
            trace.ticket = self._limiter.enter(client.id, client.limits, estimate=estimate)

    async def admit(self, headers: Mapping[str, str]) -> Client:
        """Who sends these headers: `Authorization: Bearer KEY`, or `x-api-key: KEY`.

        Raises:
            ApiError: 401 `invalid_api_key`; without any key, 403 `not_local` for a page from elsewhere.
        """
        if self._keyring and self._clock() >= self._look_at:
            await self._look(self._keyring)
        if not self.locked:
            _keep_local(headers)
            return Client("local", limits=self._defaults)
        given = _given(headers)
        if not given:
            raise _refused("send an API key as `Authorization: Bearer KEY` or `x-api-key: KEY`")
        # The id is no secret. Both comparisons are always made, and neither stops at a difference.
        key = self._keys.get(id_of(given.decode("latin-1")))
        salt, wanted = (key.salt, key.digest) if key else (b"", self._stranger)
        stored = secrets.compare_digest(digest(salt, given), wanted)
        if secrets.compare_digest(digest(b"", given), self._operator):
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
            keys = await asyncio.to_thread(keyring.stored)
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


def _keep_local(headers: Mapping[str, str]) -> None:
    """Refuse what a browser sends for a page from elsewhere.

    The page cannot read the answer, but could have the engine work; and where its name was made to point
    to this machine after it was loaded, it could read, too. Only browsers send an `Origin`.
    """
    origin, host = headers.get("origin"), headers.get("host")
    if origin is not None and not re.fullmatch(LOCAL_ORIGINS, origin):
        raise _foreign(f"pages of this machine, not {origin[:80]!r}")
    if host is not None and not is_loopback(_name(host)):
        raise _foreign(f"to localhost or 127.0.0.1, not to {host[:80]!r}")


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _foreign(answers: str) -> ApiError:
    return ApiError(
        403,
        f"without a key this endpoint answers {answers}; `factory keys create` makes one",
        code="not_local",
    )


def _given(headers: Mapping[str, str]) -> bytes:
    scheme, _, bearer = headers.get("authorization", "").strip().partition(" ")
    given = bearer.strip() if scheme.lower() == "bearer" else ""
    given = given or headers.get("x-api-key", "").strip()
    return given.encode("latin-1")  # the bytes as they came


def _refused(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers={"www-authenticate": "Bearer"})
