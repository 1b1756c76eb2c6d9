"""Between a client and the engine: what goes in is built from a list, and what comes out, too.

Nothing is passed on by default, in either direction: template switches, prompt echoes, token ids of
the prompt and the engine's own model name have no way through.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from factory.chat import FormatError
from factory.contracts import Endpoint
from serve.conversation import conversation
from serve.protocol import MAX_TOP_LOGPROBS, ApiError, ChatRequest
from serve.served import Served

log = logging.getLogger("serve")

SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
"""Fields a client may set; the rest of a persona's sampling is the release's own."""

PATH = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A request for the engine, and the limits that were applied to what the client asked for."""

    body: dict[str, Any]
    clamped: dict[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """What all parts of one answer have in common."""

    model: str
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def part(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """A response or chunk with these choices."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }


def build(served: Served, model: str, request: ChatRequest) -> Upstream:
    """The engine's request: persona prompt injected, defaults filled in, limits applied.

    Args:
        served: The release that answers.
        model: The engine's name for it.
        request: What the client sent.

    Raises:
        ApiError: If the conversation does not fit the window or the chat template.
    """
    messages = conversation(
        request.messages, prompt=served.prompt, client_system=served.client_system
    )
    messages = list(served.format.accepted(messages))
    try:
        used = len(served.format.prompt_ids(messages))
    except FormatError as error:
        roles = ", ".join(m["role"] for m in messages)[:120]
        raise ApiError(
            400,
            f"this persona cannot read a conversation of this form: {roles}",
            code="invalid_value",
            param="messages",
        ) from error
    room = served.window - used
    if room < 1:
        raise ApiError(
            400,
            f"the conversation is {used} tokens long and the window has {served.window}",
            code="context_length_exceeded",
            param="messages",
        )
    clamped: dict[str, int] = {}
    asked = request.max_completion_tokens or request.max_tokens
    if asked and asked > room:
        clamped["max_tokens"] = room
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "max_tokens": min(asked or served.max_tokens, room),
        **served.sampling,
        **{name: v for name in SAMPLING if (v := getattr(request, name)) is not None},
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stops:
        body["stop"] = request.stops
    if request.logprobs:
        top = request.top_logprobs or 0
        if top > MAX_TOP_LOGPROBS:
            top = clamped["top_logprobs"] = MAX_TOP_LOGPROBS
        body |= {"logprobs": True, "top_logprobs": top}
    if request.stream:
        body["stream"] = True
        if request.include_usage:
            body["stream_options"] = {"include_usage": True}
    return Upstream(body, clamped)


def connect(endpoint: Endpoint) -> httpx.AsyncClient:
    """One pool of connections to one engine; no read timeout, for an answer takes what it takes."""
    return httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(
            uds=str(endpoint.uds) if endpoint.uds else None,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
        ),
        base_url=endpoint.base_url,
        headers=endpoint.headers,
        timeout=httpx.Timeout(None, connect=5),
        trust_env=False,
    )


async def send(client: httpx.AsyncClient, body: Mapping[str, Any]) -> httpx.Response:
    """Start a request and wait for its status line; the caller reads and closes the response.

    Raises:
        ApiError: If the engine is gone or refuses; its own words go to the log, not to the client.
    """
    try:
        response = await client.send(client.build_request("POST", PATH, json=body), stream=True)
    except httpx.HTTPError as error:
        raise _unavailable(error) from error
    if response.status_code == 200:
        return response
    try:
        words = (await response.aread())[:500].decode("utf-8", "replace")
    finally:
        await response.aclose()
    log.error("the engine answered %d: %s", response.status_code, words)
    if response.status_code == 400:
        raise ApiError(400, "the engine cannot process this request", code="invalid_value")
    raise ApiError(502, "the engine failed on this request", code="engine_error")


async def complete(client: httpx.AsyncClient, served: Served, body: Mapping[str, Any]) -> Any:
    """A whole answer, as `chat.completion`.

    Raises:
        ApiError: As `send`, and if the engine breaks off.
    """
    response = await send(client, body)
    try:
        found = await _json(response)
    finally:
        await response.aclose()
    answer = Answer(served.name)
    whole = answer.part("chat.completion", [_choice(choice) for choice in found["choices"]])
    return {**whole, "usage": usage(found["usage"])}


async def _json(response: httpx.Response) -> Any:
    try:
        await response.aread()
        return response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise _unavailable(error) from error


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    reason = choice["finish_reason"]
    if reason not in ("stop", "length"):
        log.error("the engine ended an answer with %r", reason)
        raise ApiError(502, "the engine broke off the answer", code="engine_error")
    found = {
        "index": choice["index"],
        "message": {"role": "assistant", "content": choice["message"]["content"] or ""},
        "finish_reason": reason,
    }
    return {**found, **logprobs(choice)}


def logprobs(choice: Mapping[str, Any]) -> dict[str, Any]:
    """The log-probabilities of a choice, if it has any, in the fields that clients know."""
    if not choice.get("logprobs"):
        return {}
    entries = choice["logprobs"].get("content") or []
    content = [
        {**_entry(entry), "top_logprobs": [_entry(other) for other in entry["top_logprobs"]]}
        for entry in entries
    ]
    return {"logprobs": {"content": content}}


def _entry(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: entry.get(name) for name in ("token", "logprob", "bytes")}


def usage(found: Mapping[str, Any]) -> dict[str, int]:
    """The three counts every client knows."""
    return {k: int(found[k]) for k in ("prompt_tokens", "completion_tokens", "total_tokens")}


def _unavailable(error: Exception) -> ApiError:
    log.error("the engine is not answering: %s: %s", type(error).__name__, error)
    return ApiError(
        503, "the engine is not answering", code="engine_unavailable", headers={"retry-after": "5"}
    )
