"""The endpoint: an OpenAI-compatible app over the personas being served, and `serve` to run it."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from serve.edge import Edge, Mended
from serve.fleet import Fleet
from serve.logs import RequestLog, log_file
from serve.protocol import ApiError
from serve.routes import api, health
from serve.trace import Observer

log = logging.getLogger("serve")

LOCAL_ORIGINS = (
    r"(https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?|(app|tauri|vscode-webview)://.*)"
)
"""Pages that may call an endpoint without a key: this machine's own. With a key, any page may."""


def create_app(fleet: Fleet, *, key: str | None, observers: Sequence[Observer] = ()) -> FastAPI:
    """Build the app.

    Args:
        fleet: What is being served; opened and closed with the app.
        key: The key clients must send as `Authorization: Bearer` or `x-api-key`; None for no key.
        observers: Who is told of every request, beside the log.
    """

    @asynccontextmanager
    async def connected(app: FastAPI) -> AsyncIterator[None]:
        async with fleet:
            yield

    app = FastAPI(
        title="Persona Factory", lifespan=connected, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.include_router(health(fleet))
    app.include_router(api(fleet), prefix="/v1", dependencies=[Depends(_key_check(key))])
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Mended)
    app.add_middleware(  # outside what makes errors, so that they carry its headers, too
        CORSMiddleware,
        allow_origins=["*"] if key else [],
        allow_origin_regex=None if key else LOCAL_ORIGINS,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["x-request-id", "x-persona-factory-release", "x-persona-factory-verdict",
                        "x-persona-factory-ungated",
                        "x-persona-factory-clamped"],
    )  # fmt: skip
    app.add_middleware(
        Edge,
        ungated=lambda: not all(one.gated for one in fleet.served()),
        observers=[RequestLog(), *observers],
    )
    return app


def _key_check(key: str | None) -> Callable[[Request], None]:
    wanted = hashlib.sha256(key.encode()).digest() if key else None

    def check(request: Request) -> None:
        if wanted is None:
            return
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = bearer if scheme.lower() == "bearer" else request.headers.get("x-api-key", "")
        if not secrets.compare_digest(hashlib.sha256(given.strip().encode()).digest(), wanted):
            raise ApiError(
                401,
                "the API key is missing or wrong",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )

    return check


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    request.state.trace.fail(error.code)
    return JSONResponse(error.envelope(), error.status, error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {
        404: "no such path; this endpoint has /v1/models and /v1/chat/completions",
        405: "this method is not allowed here",
    }.get(error.status_code, str(error.detail))
    code = {404: "unknown_url", 405: "method_not_allowed"}.get(error.status_code)
    known = ApiError(error.status_code, message, code=code, headers=dict(error.headers or {}))
    return await _api_error(request, known)


def serve(
    root: Path,
    refs: Sequence[str],
    *,
    host: str,
    port: int,
    key: str | None,
    engine: str,
    allow_ungated: bool,
    announce: Callable[[str], None],
) -> None:
    """Serve releases until SIGINT or SIGTERM.

    Everything that can be refused is refused before anything is loaded.

    Args:
        root: `$FACTORY_HOME`.
        refs: NAME or NAME@N of each release.
        host: Address to listen on; other machines can reach it only with a key.
        port: TCP port; 0 for any free one.
        key: The key clients must send, or None.
        engine: Plug-in name, or `auto`.
        allow_ungated: Whether releases without a PASS scorecard may be served, marked as such.
        announce: Called with lines for the operator.

    Raises:
        UsageError: For an unknown release, a taken port, or an open door without a key.
        FactoryError: For a release that is not what passed the gate.
        EngineError: If an engine does not start or does not reproduce the release's probes.
    """
    from serve.listening import claim_port, run, stoppable
    from serve.startup import prepare, started

    with stoppable(), claim_port(host, port, key=key) as door, log_file(root):
        releases = prepare(root, refs, allow_ungated=allow_ungated, announce=announce)
        with started(root, releases, engine=engine, announce=announce) as running:
            where = f"http://{host}:{door.getsockname()[1]}/v1"
            names = ", ".join(running)
            door.listen()  # from here on a client waits instead of being refused
            announce(f"ready: {where} serves {names}; stop with Ctrl-C")
            run(create_app(Fleet(running), key=key), door)
