"""The outermost layers: tidy paths, a request id, a trace of every request, and no naked 500.

Pure ASGI, because a middleware that wraps the response would hide a client's disconnect.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.protocol import ApiError
from serve.trace import Observer, Trace, request_id

log = logging.getLogger("serve")

UNVERSIONED = ("/models", "/chat/completions", "/completions", "/responses")
"""Paths that clients with a base URL without `/v1` ask for."""


def tidy(path: str) -> str:
    """One slash where clients wrote several, none at the end, `/v1` where they left it out."""
    path = re.sub("/{2,}", "/", path)
    path = path.rstrip("/") or "/"
    if path.startswith(UNVERSIONED):
        path = "/v1" + path
    return path


class Edge:
    """Outside everything, CORS too: whatever happens behind it has an id and is traced to its end.

    The trace is `request.state.trace` for what comes behind.

    Args:
        app: What comes behind.
        ungated: Whether any persona served has no PASS scorecard; then every response that is not
            about one persona says so, too.
        observers: Who is told of every request.
    """

    def __init__(
        self, app: ASGIApp, ungated: Callable[[], bool], observers: Sequence[Observer]
    ) -> None:
        self.app = app
        self.ungated = ungated
        self.observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        path = tidy(scope["path"])
        trace = Trace(request_id(headers.get("x-request-id")), scope["method"], path)

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._mark(trace, message)
            elif not message.get("more_body", False):
                trace.complete = True
            await send(message)

        state = {**scope.get("state", {}), "trace": trace}
        inner = {**scope, "path": path, "raw_path": path.encode(), "state": state}
        for observer in self.observers:
            observer.began(trace, headers)
        try:
            await self.app(inner, receive, marked)
        except BaseException as error:
            trace.fail(type(error).__name__, broken=True)
            raise
        finally:
            trace.route = getattr(inner.get("route"), "path", None)
            trace.end()
            for observer in self.observers:
                observer.ended(trace)

    def _mark(self, trace: Trace, message: Message) -> None:
        trace.status = message["status"]
        headers = MutableHeaders(scope=message)
        headers["x-request-id"] = trace.id
        headers["server-timing"] = trace.server_timing
        if trace.ticket is not None:
            headers.update(trace.ticket.headers)
        if self.ungated() and "x-persona-factory-release" not in headers:
            headers["x-persona-factory-ungated"] = "true"
        trace.ungated = "x-persona-factory-ungated" in headers


class Mended:
    """Inside CORS: an exception that nobody foresaw becomes an error in the envelope.

    Args:
        app: What comes behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        started = False

        async def noted(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except Exception:
            if scope["type"] != "http":
                raise
            trace: Trace = scope["state"]["trace"]
            log.exception("a request failed", extra={"request_id": trace.id})
            if started:
                raise
            failure = ApiError(500, "internal error", code="internal_error")
            trace.fail(failure.code)
            await JSONResponse(failure.envelope(), 500)(scope, receive, send)
