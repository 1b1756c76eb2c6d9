"""The outermost layer behind CORS: tidy paths, a request id, the ungated mark, and no naked 500.

Pure ASGI, because a middleware that wraps the response would hide a client's disconnect.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.protocol import ApiError

log = logging.getLogger("serve")

UNVERSIONED = ("/models", "/chat/completions")
"""Paths that clients with a base URL without `/v1` ask for."""


def tidy(path: str) -> str:
    """One slash where clients wrote several, none at the end, `/v1` where they left it out."""
    path = re.sub("/{2,}", "/", path)
    path = path.rstrip("/") or "/"
    if path.startswith(UNVERSIONED):
        path = "/v1" + path
    return path


class Edge:
    """See the module.

    Args:
        app: What comes behind.
        ungated: Whether any persona served has no PASS scorecard; then every response that is not
            about one persona says so, too.
    """

    def __init__(self, app: ASGIApp, ungated: Callable[[], bool]) -> None:
        self.app = app
        self.ungated = ungated

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id, path = uuid.uuid4().hex, tidy(scope["path"])
        started = False

        async def marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                if self.ungated() and "x-persona-factory-release" not in headers:
                    headers["x-persona-factory-ungated"] = "true"
                mark = " ungated" if "x-persona-factory-ungated" in headers else ""
                what = f"{scope['method']} {path[:200]!r} {message['status']}"
                log.info("%s %s%s", request_id, what, mark)
            await send(message)

        try:
            await self.app({**scope, "path": path, "raw_path": path.encode()}, receive, marked)
        except Exception:
            log.exception("%s failed", request_id)
            if started:
                raise
            failure = ApiError(500, "internal error", code="internal_error")
            await JSONResponse(failure.envelope(), 500)(scope, receive, marked)
