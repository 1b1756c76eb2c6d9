"""The routes of the endpoint: health, models, and the three ways to ask for text."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from serve.completions import TEXT
from serve.dialect import CHAT, Dialect
from serve.disconnect import ClientGoneError, until_gone
from serve.doorkeeper import Client
from serve.fleet import Fleet, Lease
from serve.openapi import answers
from serve.protocol import MAX_BODY, ApiError, Asked, parse
from serve.proxy import Answer, complete, send
from serve.relay import EventStream, relay
from serve.responses import RESPONSES
from serve.served import Served
from serve.trace import GONE, Trace
from serve.upstream import Reply

log = logging.getLogger("serve")

ELSEWHERE = (
    ("/v1/embeddings", "this endpoint has chat personas and no embedding models"),
    ("/v1/audio", "this endpoint neither listens nor speaks"),
    ("/v1/images", "this endpoint makes no images"),
    ("/v1/moderations", "this endpoint does not moderate"),
    ("/v1/responses/", "responses are not kept here, so they cannot be fetched or changed later"),
    ("/v1/chat/completions/", "answers are not kept here, so they cannot be fetched later"),
    ("/v1/", "no such path"),
    ("/", "no such path; base URLs of this endpoint end in /v1"),
)
PATHS = "/v1/models, /v1/chat/completions, /v1/responses and, where a persona allows it, /v1/completions"


def no_such_path(path: str) -> str:
    """What a client is told that asks for a path that is not here."""
    reason = next((told for start, told in ELSEWHERE if path.startswith(start)), ELSEWHERE[-1][1])
    return f"{reason}; there are {PATHS}"


LONG = 8_000
"""Bytes of a request beyond which counting its tokens takes milliseconds: that is done in a thread, so
that everybody else's streams go on. A thread itself takes as long as counting a short one."""


def health(fleet: Fleet) -> APIRouter:
    """Routes that need no key and tell nothing: `/healthz` (the process) and `/readyz` (it generates)."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> dict[str, str]:
        if (reason := await fleet.unready()) is not None:
            log.warning("not ready: %s", reason)  # names of personas are for those who have a key
            raise ApiError(503, "this endpoint is not ready", code="not_ready")
        return {"status": "ready"}

    return router


def api(fleet: Fleet) -> APIRouter:
    """Everything below `/v1`."""
    router = APIRouter()

    @router.get("/models")
    async def models(request: Request) -> dict[str, Any]:
        shown = [card(one) for one in fleet.served() if request.state.client.may(one.name)]
        return {"object": "list", "data": shown}

    @router.get("/models/{model:path}")
    async def model(model: str, request: Request, response: Response) -> dict[str, Any]:
        client: Client = request.state.client
        found = request.state.trace.served = fleet.find(client.allowed(model), client.may)
        response.headers.update(found.headers)
        return card(found)

    async def answered(request: Request, dialect: Dialect[Asked]) -> Response:
        content = await body(request)
        asked = parse(content, dialect.kind)
        if request.headers.get("x-persona-factory-strict", "").strip().lower() == "true":
            asked = asked.model_copy(update={"strict": True})
        trace: Trace = request.state.trace
        trace.size = len(content)
        trace.queue()
        client: Client = request.state.client
        lease = await fleet.take(client.allowed(asked.model), client.may)
        trace.lease(lease.served)
        try:
            response = await answer(request, lease, dialect, asked, len(content))
        except BaseException:
            lease.close()
            raise
        if not isinstance(response, EventStream):
            lease.close()
        return response

    @router.post("/chat/completions", **answers("ChatRequest", "ChatCompletion"))
    async def chat(request: Request) -> Response:
        return await answered(request, CHAT)

    @router.post("/completions", **answers("CompletionRequest", "Completion"))
    async def text(request: Request) -> Response:
        return await answered(request, TEXT)

    @router.post("/responses", **answers("ResponsesRequest", "Response"))
    async def respond(request: Request) -> Response:
        return await answered(request, RESPONSES)

    return router


async def answer(
    request: Request, lease: Lease, dialect: Dialect[Asked], asked: Asked, length: int
) -> Response:
    """The response to a request of so many bytes; a stream gives the lease back, else the caller does."""
    served, trace = lease.served, request.state.trace
    tenant = salt(trace.client or "", served)
    building = partial(dialect.build, served, lease.endpoint.model, asked, tenant)
    upstream = await run_in_threadpool(building) if length > LONG else building()
    headers = dict(served.headers)
    if upstream.normalised:
        headers["x-persona-factory-normalised"] = ", ".join(upstream.normalised)
    if upstream.clamped:
        told = ", ".join(f"{name}={value}" for name, value in upstream.clamped.items())
        headers["x-persona-factory-clamped"] = told
    common = Answer(served.name, served.fingerprint)
    try:
        if asked.stream:
            sending = send(lease.client, upstream.body, trace, upstream.path)
            opened = await until_gone(request.receive, sending)
            chunks = relay(opened, common, asked.include_usage, trace, lease.generated)
            events = dialect.events(asked, chunks)
            return EventStream(events, headers, close=_closing(opened, lease))
        asking = complete(lease.client, common, upstream.body, trace, upstream.path)
        whole = await until_gone(request.receive, asking)
        lease.generated()
        found = to_json(dialect.whole(asked, whole))
        return Response(found, headers=headers, media_type="application/json")
    except ClientGoneError:
        return Response(status_code=GONE)


def _closing(opened: Reply, lease: Lease) -> Callable[[], None]:
    def both() -> None:
        opened.close()
        lease.close()

    return both


def salt(tenant: str, served: Served) -> str:
    """Keeps what an engine has cached for one tenant and release apart from everybody else's.

    Else how fast an answer begins would tell whether somebody has asked the same before. Clients cannot
    set it.
    """
    return hashlib.sha256(f"{tenant}\0{served.digest}".encode()).hexdigest()[:32]


def card(one: Served) -> dict[str, Any]:
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


async def body(request: Request) -> bytes:
    """The request's body.

    Raises:
        ApiError: 413 as soon as it is too large; 499, which nobody reads, if the client leaves before
            its end.
    """
    found = bytearray()
    try:
        async for block in request.stream():
            found += block
            if len(found) > MAX_BODY:
                message = f"a request has at most {MAX_BODY} bytes"
                raise ApiError(413, message, code="request_too_large")
    except ClientDisconnect as error:
        raise ApiError(GONE, "the client left") from error
    return bytes(found)
