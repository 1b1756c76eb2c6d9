"""An OpenAI-compatible endpoint that fails as real ones do, at a seeded rate; used by benchmarks, too.

    python -m tests.teachers.fault_server '{"rate": 0.3, "delay": 0.1}'

prints its address and serves until it is killed; `GET /counts` tells what happened. What is injected
depends on the request and on how often it came before, never on time or order.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from factory.contracts import Request
from factory.teachers.echo import EchoTeacher

NEVER_CHARGED = (
    "429", "429_after", "500", "502", "503", "timeout", "dropped", "truncated", "empty_body",
    "invalid_json", "half_json", "slow_drip",
)  # fmt: skip
"""Nothing arrives that could be kept, so the same call is sent again."""

SAYING_NOTHING = ("empty_answer", "thoughts")
"""A whole response arrives, and may be charged, but there is no answer in it."""

BAD_ANSWERS = ("length", "refusal", "duplicate", "mojibake", "wrong_schema")
"""An answer that is kept in the ledger, and not accepted as a pair."""

FAULTS = NEVER_CHARGED + SAYING_NOTHING + BAD_ANSWERS


@dataclass
class Plan:
    """How a server behaves."""

    rate: float = 0.0
    """Share of requests that go wrong."""
    faults: tuple[str, ...] = FAULTS
    delay: float = 0.0
    """Seconds before an answer."""
    seed: int = 1
    hang: float = 30.0
    """Seconds of a time-out, and of a slow drip."""
    script: dict[str, list[Any]] = field(default_factory=dict)
    """Body text to find: faults, or `[status, headers, body]`, in turn; then answers."""


@dataclass
class Seen:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


Handler = Callable[[Seen], Awaitable[tuple[int, dict[str, str], bytes] | None]]


class FaultServer:
    """Serves on loopback; counts requests and whole answers by body."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.requests: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.injected: Counter[str] = Counter()
        self.seen: list[Seen] = []
        self.special: Handler | None = None
        """Answers requests in the place of the plan, unless it returns None."""
        self._teacher = EchoTeacher()
        self._server: asyncio.Server | None = None

    async def start(self, path: Path | None = None) -> str:
        """Listen on a free port, or on a Unix socket; returns the address."""
        if path:
            self._server = await asyncio.start_unix_server(self._client, str(path))
            return "http://engine"
        self._server = await asyncio.start_server(self._client, "127.0.0.1", 0, backlog=512)
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}"

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if not await self._request(head.decode("latin-1"), reader, writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _request(
        self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; False if the connection ends with it."""
        first, *lines = head.split("\r\n")
        method, path, _ = first.split(" ")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines) if k}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        seen = Seen(method, path, headers, json.loads(raw) if raw else {})
        if path == "/counts":
            await send(writer, 200, {}, json.dumps(self.counts()).encode())
            return True
        self.seen.append(seen)
        if self.special and (found := await self.special(seen)):
            await send(writer, *found)
            return True
        key = hashlib.sha256(raw).hexdigest()[:16]
        self.requests[key] += 1
        fault = self._fault(key, raw)
        if isinstance(fault, list):
            status, more, body = fault
            await send(writer, status, more, body if isinstance(body, bytes) else body.encode())
            return True
        self.injected[fault or "none"] += 1
        if fault in NEVER_CHARGED:
            return await self._break(str(fault), seen, writer)
        await asyncio.sleep(self.plan.delay)
        body = await self._answer(seen, fault)
        self.answered[key] += fault not in SAYING_NOTHING
        await send(writer, 200, {}, body)
        return True

    def counts(self) -> dict[str, Any]:
        """What happened so far."""
        return {
            "requests": self.requests.total(),
            "answered": self.answered.total(),
            "different": sum(count > 0 for count in self.answered.values()),
            "again": sum(count - 1 for count in self.answered.values() if count),
            "injected": dict(self.injected),
        }

    def _fault(self, key: str, raw: bytes) -> Any:
        for text, script in self.plan.script.items():
            if text.encode() in raw and self.requests[key] <= len(script):
                return script[self.requests[key] - 1]
        chance = random.Random(f"{self.plan.seed} {key} {self.requests[key]}")
        return chance.choice(self.plan.faults) if chance.random() < self.plan.rate else None

    async def _break(self, fault: str, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        """Fail without an answer; what would have been one is only half sent."""
        whole = await self._answer(seen, None)
        page = b"<html><body><h1>Bad gateway</h1></body></html>"
        match fault:
            case "429":
                await send(writer, 429, {}, b'{"error": {"message": "Rate limit reached"}}')
            case "429_after":
                more = {"retry-after": "0.05"}
                await send(writer, 429, more, b'{"error": {"message": "Slow down"}}')
            case "500":
                await send(writer, 500, {}, b'{"error": {"message": "Internal error"}}')
            case "502":
                await send(writer, 502, {"content-type": "text/html"}, page)
            case "503":
                await send(writer, 503, {"retry-after": "0.02"}, b"overloaded")
            case "empty_body":
                await send(writer, 200, {}, b"")
            case "invalid_json":
                await send(writer, 200, {}, b"data: not json at all")
            case "half_json":
                await send(writer, 200, {}, whole[: len(whole) // 2])
            case "dropped":
                return False
            case "truncated":
                await send(writer, 200, {}, whole[: len(whole) // 2], length=len(whole))
                return False
            case "timeout":
                await asyncio.sleep(self.plan.hang)
                return False
            case "slow_drip":
                writer.write(start_of(200, {}, len(whole)))
                for byte in whole:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(self.plan.hang / len(whole))
                return False
        return True

    async def _answer(self, seen: Seen, fault: str | None) -> bytes:
        """A whole response; with a bad answer if a fault says so."""
        reply = await self._teacher.reply(request_of(seen.body))
        text, reason, more = reply.text, "stop", {}
        if fault == "length":
            text, reason = text[: len(text) // 2], "length"
        elif fault == "refusal":
            text = "I'm sorry, but I can't help with that."
        elif fault == "duplicate":
            text = "Lift the wooden kettle with a spoon, and polish your lamp by the window."
        elif fault == "mojibake":
            text = f"It\u00e2\u20ac\u2122s \u00e2\u20ac\u0153fine\u00e2\u20ac\ufffd {text}"
        elif fault == "wrong_schema":
            text = '{"result": {"status": 1}}'
        elif fault == "empty_answer":
            text = ""
        elif fault == "thoughts":
            text, more = "", {"reasoning_content": "The user wants something."}
        message = {"role": "assistant", "content": text, **more}
        usage = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.token_count}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return json.dumps(
            {"object": "chat.completion", "choices": [choice], "usage": usage}
        ).encode()


def request_of(body: dict[str, Any]) -> Request:
    """What was asked, out of a request's body."""
    form = body.get("response_format", {}).get("json_schema", {}).get("schema")
    limit = body.get("max_tokens") or body.get("max_completion_tokens") or 500
    return Request(
        tuple(body["messages"]), limit, body.get("temperature", 1), body.get("seed"), form
    )


def start_of(status: int, headers: dict[str, str], length: int) -> bytes:
    """Status line and headers."""
    lines = {"content-type": "application/json", "content-length": str(length), **headers}
    told = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} x\r\n{told}\r\n".encode()


async def send(
    writer: asyncio.StreamWriter,
    status: int,
    headers: dict[str, str],
    body: bytes,
    length: int | None = None,
) -> None:
    """A whole response, or one that says it is longer."""
    writer.write(start_of(status, headers, len(body) if length is None else length) + body)
    await writer.drain()


@contextmanager
def serving(
    plan: Plan | None = None, path: Path | None = None
) -> Iterator[tuple[FaultServer, str]]:
    """A server in a thread of this process, and its address."""
    server = FaultServer(plan or Plan())
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server, asyncio.run_coroutine_threadsafe(server.start(path), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _end(server: FaultServer) -> None:
    if server._server:
        server._server.close()
    mine = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks() if task is not mine]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def process(plan: Plan) -> Iterator[str]:
    """A server in a process of its own, so that its processor time is not the caller's."""
    command = [sys.executable, "-m", "tests.teachers.fault_server", json.dumps(asdict(plan))]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            yield running.stdout.readline().strip()
        finally:
            running.kill()


def counts(url: str) -> dict[str, Any]:
    """What a server in another process has seen."""
    found: dict[str, Any] = httpx.get(f"{url}/counts", trust_env=False).json()
    return found


async def _main(plan: Plan) -> None:
    sys.stdout.write(await FaultServer(plan).start() + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(Plan(**json.loads(sys.argv[1]))))
