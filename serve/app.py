"""The endpoint: an OpenAI-compatible app over the personas being served, and `serve` to run it."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from serve.disconnect import ClientGoneError, until_gone
from serve.edge import Edge
from serve.protocol import MAX_BODY, ApiError, parse
from serve.proxy import build, complete, connect, send
from serve.relay import EventStream, relay
from serve.served import Served

log = logging.getLogger("serve")

LOCAL_ORIGINS = (
    r"(https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?|(app|tauri|vscode-webview)://.*)"
)
"""Pages that may call an endpoint without a key: this machine's own. With a key, any page may."""


def create_app(served: Mapping[str, Served], *, key: str | None) -> FastAPI:
    """Build the app.

    Args:
        served: What is being served, by public model id.
        key: The key clients must send as `Authorization: Bearer` or `x-api-key`; None for no key.
    """

    @asynccontextmanager
    async def connected(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.clients = {
                name: await stack.enter_async_context(connect(one.endpoint))
                for name, one in served.items()
            }
            yield

    app = FastAPI(
        title="Persona Factory", lifespan=connected, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.include_router(_health(served))
    app.include_router(_api(served), prefix="/v1", dependencies=[Depends(_key_check(key))])
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Edge, ungated=not all(one.gated for one in served.values()))
    app.add_middleware(  # outermost, so that errors carry its headers, too
        CORSMiddleware,
        allow_origins=["*"] if key else [],
        allow_origin_regex=None if key else LOCAL_ORIGINS,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["x-request-id", "x-persona-factory-release", "x-persona-factory-verdict",
                        "x-persona-factory-ungated",
                        "x-persona-factory-clamped"],
    )  # fmt: skip
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


# --- routes ------------------------------------------------------------------------------------


def _health(served: Mapping[str, Served]) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz(request: Request) -> dict[str, str]:
        for name in served:
            client: httpx.AsyncClient = request.app.state.clients[name]
            try:
                status = (await client.get("/health", timeout=2)).status_code
            except httpx.HTTPError:
                status = 503
            if status != 200:
                raise ApiError(503, f"{name} is not ready", code="not_ready")
        return {"status": "ready"}

    return router


def _api(served: Mapping[str, Served]) -> APIRouter:
    router = APIRouter()

    def pick(model: str) -> Served:
        found = next((s for name, s in served.items() if model in (name, s.ref)), None)
        if found is None:
            message = f"there is no model {model[:80]!r}; there are: {', '.join(sorted(served))}"
            raise ApiError(404, message, code="model_not_found", param="model")
        return found

    @router.get("/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_card(one) for one in served.values()]}

    @router.get("/models/{model:path}")
    async def model(model: str, response: Response) -> dict[str, Any]:
        found = pick(model)
        response.headers.update(found.headers)
        return _card(found)

    @router.post("/chat/completions")
    async def chat(request: Request) -> Response:
        asked = parse(await _body(request))
        one = pick(asked.model)
        upstream = await run_in_threadpool(build, one, asked)
        client: httpx.AsyncClient = request.app.state.clients[one.name]
        headers = dict(one.headers)
        if upstream.clamped:
            told = ", ".join(f"{name}={value}" for name, value in upstream.clamped.items())
            headers["x-persona-factory-clamped"] = told
        try:
            if asked.stream:
                opened = await until_gone(request.receive, send(client, upstream.body))
                events = relay(opened, one.name, asked.include_usage)
                return EventStream(events, headers, close=opened.aclose)
            whole = await until_gone(request.receive, complete(client, one, upstream.body))
            return JSONResponse(whole, headers=headers)
        except ClientGoneError:
            log.info("the client left before the answer")
            return Response(status_code=499)

    return router


def _card(one: Served) -> dict[str, Any]:
    """What chat UIs read about a model; fields that do not apply are absent, never null."""
    return {
        "id": one.name,
        "object": "model",
        "created": one.created,
        "owned_by": "persona-factory",
        "name": one.name,
        "description": one.description,
        "max_model_len": one.window,
        "context_length": one.window,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "providers": [{"context_length": one.window, "supports_tools": False}],
    }


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > MAX_BODY:
            message = f"a request has at most {MAX_BODY} bytes"
            raise ApiError(413, message, code="request_too_large")
    return bytes(body)


# --- running -----------------------------------------------------------------------------------


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
    from serve.startup import log_file, prepare, started

    with stoppable(), claim_port(host, port, key=key) as door, log_file(root):
        releases = prepare(root, refs, allow_ungated=allow_ungated, announce=announce)
        with started(root, releases, engine=engine, announce=announce) as served:
            where = f"http://{host}:{door.getsockname()[1]}/v1"
            names = ", ".join(served)
            door.listen()  # from here on a client waits instead of being refused
            announce(f"ready: {where} serves {names}; stop with Ctrl-C")
            run(create_app(served, key=key), door)
