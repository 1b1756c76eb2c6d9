"""Which release answers under each public name right now, and the connections to what runs it.

A request takes a lease on the release it begins with and gives it back when its answer has ended, so that
a swap can wait for the last word of the old release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

import httpx

from factory.contracts import Endpoint
from serve.protocol import ApiError
from serve.proxy import connect
from serve.served import Served


@dataclass(slots=True)
class Lease:
    """The right to use one release's engine until `close`."""

    served: Served
    endpoint: Endpoint
    client: httpx.AsyncClient
    _given_back: Callable[[], None] = field(default=lambda: None)

    def close(self) -> None:
        """Give it back; harmless the second time."""
        given_back, self._given_back = self._given_back, lambda: None
        given_back()


class Fleet:
    """Releases whose engines run already, one under each name.

    An asynchronous context manager: its connections are open inside the block only.

    Args:
        running: Release facts and healthy endpoint, by public name.
    """

    def __init__(self, running: Mapping[str, tuple[Served, Endpoint]]) -> None:
        self._running = dict(running)
        self._clients: dict[str, httpx.AsyncClient] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for name, (_, endpoint) in self._running.items():
            self._clients[name] = await self._stack.enter_async_context(connect(endpoint))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    def served(self) -> Sequence[Served]:
        """What each public name means now; from memory, whatever the engines are doing."""
        return [served for served, _ in self._running.values()]

    def find(self, model: str) -> Served:
        """The release behind a public id, NAME or NAME@N.

        Raises:
            ApiError: 404 `model_not_found`, with the names that exist.
        """
        found = next((s for s in self.served() if model in (s.name, s.ref)), None)
        if found is None:
            names = ", ".join(sorted(s.name for s in self.served()))
            message = f"there is no model {model[:80]!r}; there are: {names}"
            raise ApiError(404, message, code="model_not_found", param="model")
        return found

    async def take(self, model: str) -> Lease:
        """A lease on what answers under a public id; the caller closes it.

        Raises:
            ApiError: 404 as `find`; 503 with `retry-after` while its engine is not there.
        """
        served = self.find(model)
        _, endpoint = self._running[served.name]
        return Lease(served, endpoint, self._clients[served.name])

    async def unready(self) -> str | None:
        """Why the endpoint is not ready; None if it is."""
        for name, client in self._clients.items():
            try:
                status = (await client.get("/health", timeout=2)).status_code
            except httpx.HTTPError:
                status = 503
            if status != 200:
                return f"{name} is not ready"
        return None
