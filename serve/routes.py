"""The routes of the endpoint: health, models, chat completions."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from serve.disconnect import ClientGoneError, until_gone
from serve.fleet import Fleet, Lease
from serve.protocol import MAX_BODY, ApiError, ChatRequest, parse
from serve.proxy import build, complete, send
from serve.relay import EventStream, relay
from serve.served import Served

log = logging.getLogger("serve")


def health(fleet: Fleet) -> APIRouter:
    """Routes that need no key and tell nothing: `/healthz` (the process) and `/readyz` (it generates)."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz() -> dict[str, str]:
        if (reason := await fleet.unready()) is not None:
            raise ApiError(503, reason, code="not_ready")
        return {"status": "ready"}

    return router


def api(fleet: Fleet) -> APIRouter:
    """Everything below `/v1`."""
    router = APIRouter()

    @router.get("/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [card(one) for one in fleet.served()]}

    @router.get("/models/{model:path}")
    async def model(model: str, response: Response) -> dict[str, Any]:
        found = fleet.find(model)
        response.headers.update(found.headers)
        return card(found)

    @router.post("/chat/completions")
    async def chat(request: Request) -> Response:
        asked = parse(await body(request))
        lease = await fleet.take(asked.model)
        try:
            response = await answer(request, lease, asked)
        except BaseException:
            lease.close()
            raise
        if not isinstance(response, EventStream):
            lease.close()
        return response

    return router


async def answer(request: Request, lease: Lease, asked: ChatRequest) -> Response:
    """The response to a chat request; a stream gives the lease back at its end, else the caller does."""
    upstream = await run_in_threadpool(build, lease.served, lease.endpoint.model, asked)
    headers = dict(lease.served.headers)
    if upstream.clamped:
        told = ", ".join(f"{name}={value}" for name, value in upstream.clamped.items())
        headers["x-persona-factory-clamped"] = told
    try:
        if asked.stream:
            opened = await until_gone(request.receive, send(lease.client, upstream.body))
            events = relay(opened, lease.served.name, asked.include_usage)
            return EventStream(events, headers, close=_closing(opened.aclose, lease))
        whole = await until_gone(
            request.receive, complete(lease.client, lease.served, upstream.body)
        )
        return JSONResponse(whole, headers=headers)
    except ClientGoneError:
        log.info("the client left before the answer")
        return Response(status_code=499)


def _closing(close: Callable[[], Awaitable[None]], lease: Lease) -> Callable[[], Awaitable[None]]:
    async def both() -> None:
        try:
            await close()
        finally:
            lease.close()

    return both


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
        ApiError: 413 as soon as it is too large.
    """
    found = bytearray()
    async for block in request.stream():
        found += block
        if len(found) > MAX_BODY:
            message = f"a request has at most {MAX_BODY} bytes"
            raise ApiError(413, message, code="request_too_large")
    return bytes(found)
