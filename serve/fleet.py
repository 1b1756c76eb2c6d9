"""Which release answers under each public name right now, and the connections to what runs it.

A request takes a lease on the release it begins with and gives it back when its answer has ended, so that
a swap can wait for the last word of the old release.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from factory.contracts import Endpoint
from serve.probes import PATH
from serve.protocol import ApiError
from serve.served import Served
from serve.upstream import Client, UnreachableError

RECENT = 60.0
"""Seconds within which a ready engine has generated."""

AT_WORK = 600.0
"""The same for one that is at an answer: a whole one is seen at its end only, and some engines give one
answer at a time, so that a question would wait behind it."""

PATIENCE = 5.0
"""Seconds one token may take where an engine has to show that it generates."""

RETRY_AFTER = "5"
"""Seconds a client is asked to wait while an engine starts again."""


@dataclass(slots=True, eq=False)
class Seat:
    """One release in one running engine."""

    served: Served
    endpoint: Endpoint
    client: Client | None = None
    """Open while the fleet is."""
    leases: int = 0
    used: float = field(default_factory=time.monotonic)
    """When it was last asked for."""
    began: float = 0.0
    """When it was asked for while it had nothing else to do."""
    generated: float = field(default_factory=time.monotonic)
    """When it last gave a token; it has when it is made."""
    empty: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nobody holds a lease."""

    def __post_init__(self) -> None:
        self.empty.set()

    def quiet(self) -> bool:
        """Whether it was not heard of for so long that it has to show that it generates."""
        now = time.monotonic()
        if self.leases:
            return now - max(self.began, self.generated) > AT_WORK
        return now - self.generated > RECENT


@dataclass(slots=True)
class Lease:
    """The right to use one release's engine until `close`."""

    seat: Seat
    client: Client
    _open: bool = True

    @property
    def served(self) -> Served:
        """The release that answers."""
        return self.seat.served

    @property
    def endpoint(self) -> Endpoint:
        """Its engine."""
        return self.seat.endpoint

    def generated(self) -> None:
        """Note that the engine gave a token just now."""
        self.seat.generated = time.monotonic()

    def close(self) -> None:
        """Give it back; harmless the second time."""
        if self._open:
            self._open = False
            self.seat.used = time.monotonic()
            self.seat.leases -= 1
            if not self.seat.leases:
                self.seat.empty.set()


@dataclass(slots=True, eq=False)
class Post:
    """A public name, and the seat that answers for it; without one, why not."""

    served: Served
    seat: Seat | None = None
    problem: str = "is not loaded"
    wake: Callable[[], Awaitable[None]] | None = None
    """Loads what answers on demand; None while nothing can be done but wait."""


class Fleet:
    """The names of an endpoint. A supervisor may move seats in and out while requests go on.

    An asynchronous context manager: its connections are open inside the block only.

    Args:
        running: Release facts and healthy endpoint, by public name.
    """

    def __init__(self, running: Mapping[str, tuple[Served, Endpoint]]) -> None:
        self._proving = asyncio.Lock()
        self.posts = {
            name: Post(served, Seat(served, endpoint))
            for name, (served, endpoint) in running.items()
        }

    async def __aenter__(self) -> Self:
        for post in self.posts.values():
            if post.seat is not None:
                await self.connect(post.seat)
        return self

    async def __aexit__(self, *error: object) -> None:
        for post in self.posts.values():
            if post.seat is not None:
                await self.disconnect(post.seat)

    async def connect(self, seat: Seat) -> None:
        """Open the connections to a seat's engine."""
        seat.client = await Client(seat.endpoint).__aenter__()

    async def disconnect(self, seat: Seat) -> None:
        """Close them."""
        client, seat.client = seat.client, None
        if client is not None:
            await client.__aexit__(None, None, None)

    def served(self) -> Sequence[Served]:
        """What each public name means now; from memory, whatever the engines are doing."""
        return [post.served for post in self.posts.values()]

    def find(self, model: str, may: Callable[[str], bool] = bool) -> Served:
        """The release behind a public id, NAME or NAME@N.

        Args:
            model: The id.
            may: Whether the client is told of a name.

        Raises:
            ApiError: 404 `model_not_found`, with the names that exist.
        """
        return self._post(model, may).served

    def _post(self, model: str, may: Callable[[str], bool]) -> Post:
        post = self.posts.get(model)
        if post is None:
            post = next((p for p in self.posts.values() if model == p.served.ref), None)
        if post is None:
            names = ", ".join(sorted(filter(may, self.posts)))
            message = f"there is no model {model[:80]!r}; there are: {names}"
            raise ApiError(404, message, code="model_not_found", param="model")
        return post

    async def take(self, model: str, may: Callable[[str], bool] = bool) -> Lease:
        """A lease on what answers under a public id; the caller closes it.

        Loads the engine first where it was unloaded for want of use.

        Raises:
            ApiError: 404 as `find`; 503 with `retry-after` while its engine is not there.
        """
        post = self._post(model, may)
        if post.seat is None and post.wake is not None:
            await post.wake()
            post = self._post(model, may)  # what woke may be another release than the one asked for
        seat = post.seat
        if seat is None or seat.client is None:
            raise ApiError(
                503,
                f"{post.served.name} {post.problem}; please try again in a moment",
                code="engine_unavailable",
                headers={"retry-after": RETRY_AFTER},
            )
        seat.used = time.monotonic()
        if not seat.leases:
            seat.began = seat.used
        seat.leases += 1
        seat.empty.clear()
        return Lease(seat, seat.client)

    async def unready(self) -> str | None:
        """Why the endpoint is not ready; None if it is: every engine answers, and generates.

        A name whose engine was unloaded for want of use is ready: it comes back when it is asked for.
        """
        for name, post in self.posts.items():
            if post.seat is None:
                if post.wake is None:
                    return f"{name} {post.problem}"
            elif not await healthy(post.seat):
                return f"{name} is not ready"
            elif not await self.generates(post.seat):
                return f"{name} does not generate"
        return None

    async def generates(self, seat: Seat) -> bool:
        """Whether it generates; one question at a time finds out where it was quiet."""
        if not seat.quiet():
            return True
        async with self._proving:
            return not seat.quiet() or await _gives_a_token(seat)


async def healthy(seat: Seat) -> bool:
    """Whether a seat's engine answers."""
    return seat.client is not None and await seat.client.healthy()


async def _gives_a_token(seat: Seat) -> bool:
    """Ask for one token: an engine can answer and be stuck all the same."""
    body = {
        "model": seat.endpoint.model,
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 1,
        "temperature": 0,
    }
    if seat.client is None:
        return False
    try:
        async with asyncio.timeout(PATIENCE):
            reply = await seat.client.post(PATH, body)
            await reply.read()
    except (UnreachableError, TimeoutError):
        return False
    if reply.status == 200:
        seat.generated = time.monotonic()
    return reply.status == 200
