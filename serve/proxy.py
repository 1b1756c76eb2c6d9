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

from pydantic_core import from_json

from serve.conversation import conversation
from serve.logs import engine_words
from serve.probes import PATH
from serve.protocol import MAX_TOP_LOGPROBS, ApiError, ChatRequest, Sampled
from serve.served import Served
from serve.trace import Trace
from serve.upstream import Client, Reply, UnreachableError

log = logging.getLogger("serve")

SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
"""Fields a client may set; the rest of a persona's sampling is the release's own."""

MALFORMED = (ValueError, LookupError, TypeError, AttributeError)
"""What reading raises if an engine does not speak as it should."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """A request for the engine, and the limits that were applied to what the client asked for."""

    body: dict[str, Any]
    clamped: dict[str, int]
    normalised: tuple[str, ...] = ()
    """What was changed in the client's messages, in short codes."""
    path: str = PATH


@dataclass(frozen=True, slots=True)
class Answer:
    """What all parts of one answer have in common."""

    model: str
    fingerprint: str
    """The release that answers; clients see it as `system_fingerprint`."""
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))

    def part(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """A response or chunk with these choices."""
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        }


def build(served: Served, model: str, request: ChatRequest, salt: str) -> Upstream:
    """The engine's request: persona prompt injected, defaults filled in, limits applied.

    Args:
        served: The release that answers.
        model: The engine's name for it.
        request: What the client sent.
        salt: Keeps this tenant's cached prompts apart from everybody else's.

    Raises:
        ApiError: If the conversation does not fit the window or the chat template.
    """
    talk = conversation(
        request.messages,
        prompt=served.prompt,
        client_system=served.client_system,
        format=served.format,
        plenty=served.window - (request.limit or served.max_tokens),
    )
    body, clamped = sampled(served, model, request, talk.length, param="messages")
    body |= {"messages": talk.messages, "cache_salt": salt}
    if request.logprobs:
        top = request.top_logprobs or 0
        if top > MAX_TOP_LOGPROBS:
            top = clamped["top_logprobs"] = MAX_TOP_LOGPROBS
        body |= {"logprobs": True, "top_logprobs": top}
    if request.strict and clamped:
        raise ApiError(
            400,
            f"at most {MAX_TOP_LOGPROBS} alternatives a token",
            code="invalid_value",
            param="top_logprobs",
        )
    return Upstream(body, clamped, (*talk.changed, *request.ignored))


def sampled(
    served: Served, model: str, request: Sampled, used: int, *, param: str
) -> tuple[dict[str, Any], dict[str, int]]:
    """The part of an engine's request that says how to write, and the limits that were applied.

    Args:
        served: The release that answers.
        model: The engine's name for it.
        request: What the client sent.
        used: Tokens of the prompt.
        param: The field that holds it.

    Raises:
        ApiError: If there is no room for an answer; in strict mode, for the answer that was asked for.
    """
    room, asked = served.window - used, request.limit
    if room < 1 or (request.strict and asked and asked > room):
        wanted = f" and {asked} more are asked for" if room >= 1 else ""
        message = f"the prompt is {used} tokens long{wanted}; the window has {served.window}"
        raise ApiError(400, message, code="context_length_exceeded", param=param)
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": min(asked or served.max_tokens, room),
        **served.sampling,
        **{name: v for name in SAMPLING if (v := getattr(request, name)) is not None},
    }
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stops:
        body["stop"] = request.stops
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}  # for our own counts, too
    return body, {"max_tokens": room} if asked and asked > room else {}


async def send(client: Client, body: Mapping[str, Any], trace: Trace, path: str = PATH) -> Reply:
    """Start a request and wait for its status line; the caller reads and closes the response.

    Raises:
        ApiError: If the engine is gone or refuses; its own words go to the log, not to the client.
    """
    trace.send()
    try:
        reply = await client.post(path, body, trace.headers)
        if reply.status == 200:
            return reply
        words = engine_words(await reply.read())
    except UnreachableError as error:
        raise _unavailable(error) from error
    log.error("the engine answered %d: %s", reply.status, words)
    if reply.status in (429, 503):  # a server elsewhere is full, or shutting down
        raise ApiError(
            503, "the engine is busy", code="engine_unavailable", headers={"retry-after": "5"}
        )
    if reply.status == 400:
        raise ApiError(400, "the engine cannot process this request", code="invalid_value")
    raise ApiError(502, "the engine failed on this request", code="engine_error")


async def complete(
    client: Client,
    answer: Answer,
    body: Mapping[str, Any],
    trace: Trace,
    path: str = PATH,
) -> Any:
    """A whole answer, as `chat.completion`; also if the engine was asked to continue a text.

    Raises:
        ApiError: As `send`, and if the engine breaks off.
    """
    reply = await send(client, body, trace, path)
    try:
        content = await reply.read()
    except UnreachableError as error:
        raise _unavailable(error) from error
    finally:
        reply.close()
    try:
        found = from_json(content)
        counts, choices = usage(found["usage"]), [_choice(choice) for choice in found["choices"]]
    except MALFORMED as error:
        log.error("the engine's answer cannot be read: %s", type(error).__name__)
        raise ApiError(502, "the engine failed on this request", code="engine_error") from error
    trace.usage(counts)
    return {**answer.part("chat.completion", choices), "usage": counts}


def _choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    reason = choice["finish_reason"]
    if reason not in ("stop", "length"):
        log.error("the engine ended an answer with %r", reason)
        raise ApiError(502, "the engine broke off the answer", code="engine_error")
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    found = {
        "index": choice["index"],
        "message": {"role": "assistant", "content": text or ""},
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
