"""An engine that says exactly what a test wants, byte by byte, over a real port."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from factory.chat import ChatFormat
from factory.contracts import Endpoint
from serve.app import create_app
from serve.doorkeeper import Doorkeeper
from serve.fleet import Fleet
from serve.listening import claim_port, running
from serve.served import Served
from serve.trace import Trace
from tests.serve.conftest import make_release


def chunk(text: str | None = None, reason: str | None = None, **more: Any) -> bytes:
    """One event, as vLLM writes it."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": reason}
    made = {"id": "inner-1", "object": "chat.completion.chunk", "created": 1, "model": "inner"}
    return b"data: " + json.dumps({**made, "choices": [choice], **more}).encode() + b"\n\n"


COUNTS = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
COUNTED = chunk(choices=[], usage=COUNTS)
DONE = b"data: [DONE]\n\n"


@dataclass
class Canned:
    """Streams its parts, waiting as many seconds as the numbers among them say; None hangs up.

    A request that is not for a stream gets `whole`, or waits for as long as a stream would.
    """

    parts: Sequence[bytes | float | None] = ()
    whole: tuple[int, Any] | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    """The bodies of all requests."""
    left: int = 0
    """Clients that left before the end."""

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/health", lambda request: Response()),
                Route("/v1/chat/completions", self._answer, methods=["POST"]),
                Route("/v1/completions", self._answer, methods=["POST"]),
            ]
        )

    async def _answer(self, request: Request) -> Response:
        body = await request.json()
        self.asked.append(body)
        if body.get("stream"):
            return StreamingResponse(self._stream(request), media_type="text/event-stream")
        if self.whole is not None:
            return JSONResponse(self.whole[1], self.whole[0])
        for part in self.parts:
            if isinstance(part, float) and not await self._wait(request, part):
                return Response(status_code=499)
        return Response(status_code=500)

    async def _stream(self, request: Request) -> AsyncIterator[bytes]:
        try:
            for part in self.parts:
                if part is None:
                    raise ConnectionAbortedError("as the test wants it")
                if isinstance(part, float):
                    await asyncio.sleep(part)
                else:
                    yield part
        except asyncio.CancelledError:
            self.left += 1
            raise

    async def _wait(self, request: Request, seconds: float) -> bool:
        for _ in range(int(seconds * 50)):
            await asyncio.sleep(0.02)
            if await request.is_disconnected():
                self.left += 1
                return False
        return True


@dataclass
class Notes:
    """An observer that remembers how requests ended."""

    outcomes: list[str] = field(default_factory=list)

    def began(self, trace: Trace, headers: Any) -> None:
        pass

    def ended(self, trace: Trace) -> None:
        self.outcomes.append(trace.outcome)


@dataclass
class Fronted:
    """A gateway with a canned engine behind it."""

    url: str
    app: Any
    notes: Notes


@contextmanager
def fronted(
    canned: Canned | None,
    model_dir: Path,
    root: Path,
    doorkeeper: Doorkeeper | None = None,
    **changes: Any,
) -> Iterator[Fronted]:
    """Serve `brief`, answered by a canned engine; by nobody at all without one."""
    facts = make_release(root, model_dir, **changes).facts()
    served = Served.of(facts, gated=True, format=ChatFormat.load(model_dir))
    notes, keeper = Notes(), doorkeeper or Doorkeeper()
    with (
        socket.create_server(("127.0.0.1", 0)) as inner,
        claim_port("127.0.0.1", 0, keyed=keeper.locked) as door,
    ):
        address = f"http://127.0.0.1:{inner.getsockname()[1]}"
        fleet = Fleet({"brief": (served, Endpoint(base_url=address, model="inner"))})
        app = create_app(fleet, keeper, observers=[notes])
        found = Fronted(f"http://127.0.0.1:{door.getsockname()[1]}", app, notes)
        if canned is None:
            inner.close()
            with running(app, door):
                yield found
        else:
            with running(canned.app(), inner), running(app, door):
                yield found
