"""The endpoint: an OpenAI-compatible app over the personas being served, and `serve` to run it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from factory.errors import UsageError
from serve.doorkeeper import LOCAL_ORIGINS, Doorkeeper
from serve.drain import Drain, Draining
from serve.edge import Edge, Mended
from serve.fleet import Fleet
from serve.keys import Keyring
from serve.limits import EXPOSED, UNLIMITED, Limits
from serve.logs import RequestLog, log_file
from serve.openapi import describe
from serve.protocol import ApiError
from serve.routes import api, health, no_such_path
from serve.trace import Observer

log = logging.getLogger("serve")

SAFE_KEY = 16
"""Characters of an operator's key below which it is warned of where other machines can try."""


def create_app(
    fleet: Fleet,
    doorkeeper: Doorkeeper,
    *,
    observers: Sequence[Observer] = (),
    keeper: AbstractAsyncContextManager[Any] | None = None,
) -> FastAPI:
    """Build the app.

    Args:
        fleet: What is being served; opened and closed with the app.
        doorkeeper: Who may call it.
        observers: Who is told of every request, beside the log.
        keeper: What looks after the fleet while the app runs.
    """

    @asynccontextmanager
    async def connected(app: FastAPI) -> AsyncIterator[None]:
        async with fleet, keeper or nullcontext():
            yield

    app = FastAPI(
        title="Persona Factory", lifespan=connected, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    app.include_router(health(fleet))
    app.include_router(api(fleet), prefix="/v1", dependencies=[Depends(doorkeeper.check)])
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.state.drain = Drain()
    app.add_middleware(Mended)
    app.add_middleware(Draining, drain=app.state.drain)
    app.add_middleware(  # outside what makes errors, so that they carry its headers, too
        CORSMiddleware,
        allow_origins=["*"] if doorkeeper.locked else [],
        allow_origin_regex=None if doorkeeper.locked else LOCAL_ORIGINS,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["x-request-id", "x-persona-factory-release", "x-persona-factory-verdict",
                        "x-persona-factory-ungated",
                        "x-persona-factory-clamped", "x-persona-factory-normalised", *EXPOSED],
    )  # fmt: skip
    app.add_middleware(
        Edge,
        ungated=lambda: not all(one.gated for one in fleet.served()),
        observers=[RequestLog(), *observers],
    )
    return app


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    request.state.trace.fail(error.code)
    return JSONResponse(error.envelope(), error.status, error.headers)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = {
        404: no_such_path(request.scope["path"]),
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
    limits: Limits = UNLIMITED,
    announce: Callable[[str], None],
    metrics_port: int | None = None,
    memory: float | None = None,
    idle: float | None = None,
) -> None:
    """Serve releases until SIGINT or SIGTERM.

    Everything that can be refused is refused before anything is loaded.

    Args:
        root: `$FACTORY_HOME`.
        refs: NAME or NAME@N of each release; none means every promoted one.
        host: Address to listen on; other machines can reach it only with a key.
        port: TCP port; 0 for any free one.
        key: The operator's key, or None; stored keys are accepted in any case.
        engine: Plug-in name, or `auto`.
        allow_ungated: Whether releases without a PASS scorecard may be served, marked as such.
        limits: Of every client whose key has none of its own.
        announce: Called with lines for the operator.
        metrics_port: Port on 127.0.0.1 that shows `/metrics`, or None.
        memory: GiB that engines may take together; None for no limit.
        idle: Seconds after which an engine that nobody asks for is unloaded; None for never.

    Raises:
        UsageError: For an unknown release or one that is not what passed the gate, a taken port, or an
            open door without a key.
        EngineError: If an engine does not start or does not reproduce the release's probes.
    """
    from factory.hardware import GIB
    from serve.launch import Launcher
    from serve.listening import claim_port, is_loopback, listen, run, stoppable
    from serve.metrics import counted, side_door
    from serve.releases import every
    from serve.spans import traced
    from serve.startup import prepare, supervised

    if port and port == metrics_port:  # neither listens yet, so that the system would allow both
        raise UsageError(
            "the endpoint and its metrics need a port each",
            where="--metrics-port",
            got=metrics_port,
            hint=f"choose another one: --metrics-port {port % 65535 + 1}",
        )
    doorkeeper = Doorkeeper(Keyring(root), operator=key, defaults=limits)
    if 0 < len((key or "").strip()) < SAFE_KEY and not is_loopback(host):
        announce(
            f"warning: other machines can reach {host}, and a FACTORY_API_KEY of fewer than"
            f" {SAFE_KEY} characters can be guessed; `openssl rand -hex 24` prints a better one"
        )
    with (
        stoppable(),
        claim_port(host, port, keyed=doorkeeper.locked) as door,
        side_door(metrics_port) as side,
        log_file(root),
        traced(announce) as spans,
    ):
        refs = refs or every(root)
        admissions = prepare(root, refs, allow_ungated=allow_ungated, announce=announce)
        launcher = Launcher(root, engine, announce)
        with supervised(
            root,
            refs,
            admissions,
            launcher,
            budget=memory * GIB if memory else None,
            idle=idle,
            allow_ungated=allow_ungated,
        ) as supervisor:
            where = f"http://{host}:{door.getsockname()[1]}/v1"
            fleet = supervisor.fleet
            listen(door)
            announce(f"ready: {where} serves {', '.join(fleet.posts)}; stop with Ctrl-C")
            with counted(fleet, side, announce) as metrics:
                app = create_app(fleet, doorkeeper, observers=[*metrics, *spans], keeper=supervisor)
                run(app, door)
