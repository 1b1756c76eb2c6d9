"""Streams an answer from the engine to the client as server-sent events, as SDKs expect them.

The role comes once, in the first chunk; one finish reason; usage in a last chunk of its own, only
when asked; then `[DONE]`. A failure after the first byte becomes an error event. While the engine
is silent, comment lines keep the connection open; there are never `event:` or `id:` lines.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import httpx
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from serve.disconnect import ClientGoneError, until_gone
from serve.protocol import ApiError
from serve.proxy import Answer, logprobs, usage

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
        close: Callable[[], Awaitable[None]] | None = None,
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
            log.info("the client closed the stream")
        finally:
            if self.close is not None:
                await self.close()

    async def _send(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        async with aclosing(self.events) as events:
            await send(head)
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def relay(upstream: httpx.Response, model: str, include_usage: bool) -> AsyncGenerator[bytes]:
    """Events for the client; closes `upstream` at the end, however it comes.

    Args:
        upstream: The engine's opened stream.
        model: Public persona name.
        include_usage: Whether the client asked for a usage chunk.
    """
    answer = Answer(model)
    state = _Chunks(answer, include_usage)
    try:
        async with aclosing(_with_comments(upstream)) as source:
            async for data in source:
                if data is None:
                    yield COMMENT
                elif data != b"[DONE]":
                    for part in state.translate(json.loads(data)):
                        yield event(part)
        if not state.finished:
            raise _broken("ended without a finish reason")
    except ApiError as error:
        yield event(error.envelope())
    except (httpx.HTTPError, ValueError, KeyError) as error:
        yield event(_broken(f"{type(error).__name__}: {error}").envelope())
    yield DONE


def event(part: Any) -> bytes:
    """One JSON object on one `data:` line."""
    return (
        b"data: " + json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
    )


class _Chunks:
    """Turns the engine's chunks into ours, and remembers what was already said."""

    def __init__(self, answer: Answer, include_usage: bool) -> None:
        self.answer = answer
        self.include_usage = include_usage
        self.started = False
        self.finished = False

    def translate(self, chunk: dict[str, Any]) -> list[dict[str, Any]]:
        if chunk.get("error"):
            raise _broken(str(chunk["error"])[:300])
        parts = []
        if chunk["choices"] and not self.finished:
            parts.append(self._part([self._choice(chunk["choices"][0])]))
        if not chunk["choices"] and chunk.get("usage") and self.include_usage:
            parts.append({**self._part([]), "usage": usage(chunk["usage"])})
        return parts

    def _part(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return self.answer.part("chat.completion.chunk", choices)

    def _choice(self, choice: dict[str, Any]) -> dict[str, Any]:
        delta: dict[str, Any] = {} if self.started else {"role": "assistant"}
        if (text := choice["delta"].get("content")) is not None:
            delta["content"] = text
        self.started = True
        reason = choice.get("finish_reason")
        if reason not in (None, "stop", "length"):
            raise _broken(f"finish reason {reason!r}")
        self.finished = reason is not None
        found = {"index": 0, "delta": delta, "finish_reason": reason}
        return {**found, **logprobs(choice)}


def _broken(reason: str) -> ApiError:
    log.error("the engine broke off a stream: %s", reason)
    return ApiError(502, "the engine broke off the answer", code="engine_error")


async def _data_lines(upstream: httpx.Response) -> AsyncIterator[bytes]:
    """The payload of every `data:` line.

    Split at line feeds only: text may hold characters that other line splitters take for line ends.
    """
    rest = b""
    async for block in upstream.aiter_raw():
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


async def _with_comments(upstream: httpx.Response) -> AsyncGenerator[bytes | None]:
    """The engine's data, and None for every KEEP_ALIVE seconds without any."""
    source = _data_lines(upstream)
    waiting: asyncio.Future[bytes] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(source))
            done, _ = await asyncio.wait({waiting}, timeout=KEEP_ALIVE)
            if not done:
                yield None
                continue
            try:
                item = waiting.result()
            except StopAsyncIteration:
                return
            waiting = None
            yield item
    finally:
        # Closing ends a read that is under way; cancelling it can collide with data just arriving.
        await upstream.aclose()
        if waiting is not None:
            await asyncio.gather(waiting, return_exceptions=True)
