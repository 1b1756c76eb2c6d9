"""The end of an endpoint: what was begun is finished, and what is new is told to come back.

On SIGTERM readiness fails at once and new requests get a 503 with `retry-after`, on connections that are open
already; when the last answer has ended, or after the limit, the server stops. uvicorn's own handling changed
between versions (Kludex/uvicorn#2829, reverted by #2913), so counting is done here.
"""

from __future__ import annotations

import asyncio

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from serve.protocol import ApiError


class Drain:
    """How many requests are being answered, and whether new ones are still taken."""

    def __init__(self) -> None:
        self.draining = False
        self.active = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def begin(self) -> None:
        """Take no new requests from now on."""
        self.draining = True

    async def empty(self) -> None:
        """Return when no request is being answered."""
        await self._empty.wait()

    def enter(self) -> None:
        """A request has begun."""
        self.active += 1
        self._empty.clear()

    def leave(self) -> None:
        """A request has ended."""
        self.active -= 1
        if not self.active:
            self._empty.set()


class Draining:
    """ASGI layer that counts requests, and turns new ones away once the end has begun.

    Args:
        app: What comes behind.
        drain: The count.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app = app
        self.drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self.drain.draining and scope["path"] != "/healthz":
            error = ApiError(
                503,
                "this endpoint is shutting down; please try again in a moment",
                code="shutting_down",
                headers={"retry-after": "2", "connection": "close"},
            )
            scope["state"]["trace"].fail(error.code)
            await JSONResponse(error.envelope(), 503, error.headers)(scope, receive, send)
            return
        self.drain.enter()
        try:
            await self.app(scope, receive, send)
        finally:
            self.drain.leave()
