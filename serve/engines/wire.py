"""The OpenAI-compatible surface of an engine that runs in this process.

It speaks to our own gateway and to the parity certificate only, over a Unix socket in a private
folder, and in vLLM's dialect (`return_token_ids`). Brains that compute answer one request at a time.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from serve.disconnect import ClientGoneError, until_gone
from serve.engines.brain import Ask, Brain, Piece, until_stop
from serve.relay import DONE, EventStream, event

log = logging.getLogger("serve")


def engine_app(brain: Brain, *, model: str, max_model_len: int, key: str) -> Starlette:
    """The app of one engine.

    Args:
        brain: What answers; `app.state.brain` from then on, and nowhere else. An app is part of a cycle
            of references, and what hangs on it may stay for ever.
        model: The name it is known by.
        max_model_len: Context window in tokens.
        key: Bearer token every request but `/health` must carry.
    """
    turn = asyncio.Lock()
    wanted = f"Bearer {key}".encode()

    async def health(request: Request) -> Response:
        return Response()

    async def answer(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), wanted):
            return _refusal(401, "wrong key")
        brain: Brain = request.app.state.brain
        try:
            ask = Ask.model_validate_json(await request.body())
            text = request.scope["path"] == "/v1/completions"
            prompt_ids = brain.text_ids(ask.prompt) if text else brain.prompt_ids(ask.messages)
        except ValueError as error:
            return _refusal(400, str(error))
        room = max_model_len - len(prompt_ids)
        if room < 1:
            return _refusal(400, f"{len(prompt_ids)} prompt tokens, the window has {max_model_len}")
        ask = ask.model_copy(update={"max_tokens": min(ask.max_tokens, room)})
        answer = _Answer(model, prompt_ids, ask, text)
        found = brain.pieces(prompt_ids, ask)
        pieces = until_stop(
            _in_turn(turn, found) if isinstance(found, Iterator) else found, ask.stop
        )
        if ask.stream:
            return EventStream(answer.events(pieces), {})
        try:
            return _json(await until_gone(request.receive, answer.whole(pieces)))
        except ClientGoneError:
            return Response(status_code=499)
        except Exception as error:  # whatever a model can raise ends this request only
            log.exception("generation failed")
            return _refusal(500, f"{type(error).__name__}: {error}")

    app = Starlette(
        routes=[
            Route("/v1/chat/completions", answer, methods=["POST"]),
            Route("/v1/completions", answer, methods=["POST"]),
            Route("/health", health),
        ]
    )
    app.state.brain = brain
    return app


def _json(found: Any, status: int = 200) -> Response:
    return Response(to_json(found), status, media_type="application/json")


def _refusal(status: int, message: str) -> Response:
    kind = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return _json({"error": kind}, status)


async def _in_turn(turn: asyncio.Lock, pieces: Iterator[Piece]) -> AsyncGenerator[Piece]:
    async with turn:
        async for piece in iterate_in_threadpool(pieces):
            yield piece


@dataclass(slots=True)
class _Answer:
    """Wraps pieces into responses or chunks."""

    model: str
    prompt_ids: list[int]
    ask: Ask
    text: bool
    """Whether it goes on with a text; else it is the next turn of a conversation."""
    id: str = field(default_factory=lambda: f"chatcmpl-{uuid.uuid4().hex}")
    created: int = field(default_factory=lambda: int(time.time()))
    count: int = 0
    """Tokens generated so far."""

    async def whole(self, pieces: AsyncGenerator[Piece]) -> dict[str, Any]:
        """Everything at once."""
        text, ids, logprobs, reason = "", [], [], None
        async with aclosing(pieces):
            async for piece in pieces:
                text += piece.text
                ids += piece.token_ids
                logprobs += piece.logprobs
                reason = piece.finish_reason
        self.count = len(ids)
        message = {"role": "assistant", "content": text}
        choice = self._choice("message", message, logprobs, reason, ids)
        part = self._part("chat.completion", [choice])
        if self.ask.return_token_ids:
            part["prompt_token_ids"] = self.prompt_ids
        return {**part, "usage": self._usage()}

    async def events(self, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[bytes]:
        """Server-sent events."""
        kind = "chat.completion.chunk"
        opening = self._choice("delta", {"role": "assistant", "content": ""}, [], None, [])
        first = self._part(kind, [opening])
        if self.ask.return_token_ids:
            first["prompt_token_ids"] = self.prompt_ids
        yield event(first)
        try:
            async with aclosing(pieces):
                async for p in pieces:
                    self.count += len(p.token_ids)
                    delta = {"content": p.text}
                    choice = self._choice("delta", delta, p.logprobs, p.finish_reason, p.token_ids)
                    yield event(self._part(kind, [choice]))
        except Exception as error:  # whatever a model can raise ends this answer only
            log.exception("generation failed")
            yield event({"error": {"message": f"{type(error).__name__}: {error}"}})
        if (self.ask.stream_options or {}).get("include_usage"):
            yield event({**self._part(kind, []), "usage": self._usage()})
        yield DONE

    def _part(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "text_completion" if self.text else kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    def _choice(
        self, key: str, value: Any, logprobs: list[Any], reason: str | None, ids: list[int]
    ) -> dict[str, Any]:
        said = {"text": value["content"]} if self.text else {key: value}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        if logprobs:
            choice["logprobs"] = {"content": logprobs}
        if self.ask.return_token_ids:
            choice["token_ids"] = ids
        return choice

    def _usage(self) -> dict[str, int]:
        prompt = len(self.prompt_ids)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self.count,
            "total_tokens": prompt + self.count,
        }
