"""Streams an answer from the engine to the client as server-sent events, as SDKs expect them.

The role comes once, in the first chunk; one finish reason; usage in a last chunk of its own, only
when asked; then `[DONE]`. A failure after the first byte becomes an error event. While the engine
is silent, comment lines keep the connection open; there are never `event:` or `id:` lines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from pydantic_core import from_json, to_json
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve.disconnect import ClientGoneError, until_gone
from serve.logs import engine_words
from serve.protocol import ApiError
from serve.proxy import MALFORMED, Answer, logprobs, usage
from serve.trace import Trace
from serve.upstream import Reply, UnreachableError

log = logging.getLogger("serve")

KEEP_ALIVE = 15.0
"""Seconds of silence after which a comment line is sent."""

DONE = b"data: [DONE]\n\n"
COMMENT = b": waiting\n\n"


class EventStream(Response):
    """A streamed response that stops its source as soon as the client has gone.

    Args:
        events: What is sent.
        headers: More response headers.
        close: Ends what the events come from, even if none of them was ever asked for.
    """

    media_type = "text/event-stream"
    charset = "utf-8"

    def __init__(
        self,
        events: AsyncGenerator[bytes],
        headers: dict[str, str],
        close: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(
            headers={**headers, "cache-control": "no-cache", "x-accel-buffering": "no"}
        )
        del self.headers["content-length"]
        self.events = events
        self.close = close

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send every event, or stop early."""
        try:
            await until_gone(receive, self._send(send))
        except ClientGoneError:
            pass  # the request's line in the log says so
        finally:
            if self.close is not None:
                self.close()

    async def _send(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        async with aclosing(self.events) as events:
            await send(head)
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


Chunks = AsyncGenerator[list[dict[str, Any]]]
"""What is told of an answer, as chunks of a chat stream: those that came together, and an empty list when
the engine has been silent for a while. An error has no choices, and is the last."""


async def relay(
    upstream: Reply,
    answer: Answer,
    include_usage: bool,
    trace: Trace,
    generated: Callable[[], None],
) -> Chunks:
    """The engine's stream, made anew from what clients may see.

    Args:
        upstream: The engine's opened stream; the caller closes it.
        answer: What all chunks have in common.
        include_usage: Whether the client asked for a usage chunk.
        trace: The request's.
        generated: Called for each piece of text as it comes.
    """
    state = _Chunks(answer, include_usage, trace, generated)
    ready: list[dict[str, Any]] = []
    rest = b""
    try:
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    block = await upstream.block()
            except TimeoutError:
                yield []
                continue
            if not block:
                break
            # At line feeds only: text may hold characters that other splitters take for line ends.
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                if line.startswith(b"data:") and (data := line[5:].strip()) != b"[DONE]":
                    ready += state.translate(from_json(data))
            if ready:
                yield ready
                ready = []
        if not state.finished:
            raise _broken("ended without a finish reason")
    except ApiError as error:
        trace.fail(error.code, broken=True)
        yield [*ready, error.envelope()]
    except (UnreachableError, *MALFORMED) as error:
        broken = _broken(f"{type(error).__name__}: {error}")
        trace.fail(broken.code, broken=True)
        yield [*ready, broken.envelope()]


async def events(chunks: Chunks) -> AsyncGenerator[bytes]:
    """A chat stream as its client reads it."""
    async with aclosing(chunks):
        async for batch in chunks:
            yield b"".join(map(event, batch)) if batch else COMMENT
    yield DONE


def event(part: Any) -> bytes:
    """One JSON object on one `data:` line."""
    return b"data: " + to_json(part) + b"\n\n"


class _Chunks:
    """Turns the engine's chunks into ours, and remembers what was already said."""

    def __init__(
        self, answer: Answer, include_usage: bool, trace: Trace, generated: Callable[[], None]
    ) -> None:
        self.answer = answer
        self.include_usage = include_usage
        self.trace = trace
        self.generated = generated
        self.started = False
        self.finished = False

    def translate(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        if chunk.get("error"):
            raise _broken(engine_words(chunk["error"]))
        parts = []
        if chunk["choices"] and not self.finished:
            parts.append(self._part([self._choice(chunk["choices"][0])]))
        if not chunk["choices"] and chunk.get("usage"):
            counts = usage(chunk["usage"])
            self.trace.usage(counts)
            if self.include_usage:
                parts.append({**self._part([]), "usage": counts})
        return parts

    def _part(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return self.answer.part("chat.completion.chunk", choices)

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        delta: dict[str, Any] = {} if self.started else {"role": "assistant"}
        text = choice["delta"].get("content") if "delta" in choice else choice["text"]
        if text is not None:
            delta["content"] = text
            if text:
                self.trace.piece()
                self.generated()
        self.started = True
        reason = choice.get("finish_reason")
        if reason not in (None, "stop", "length"):
            raise _broken(f"finish reason {reason!r}")
        if reason is not None:
            self.finished = True
            self.trace.finish()
        found = {"index": 0, "delta": delta, "finish_reason": reason}
        return {**found, **logprobs(choice)}


def _broken(reason: str) -> ApiError:
    log.error("the engine broke off a stream: %s", reason)
    return ApiError(502, "the engine broke off the answer", code="engine_error")
