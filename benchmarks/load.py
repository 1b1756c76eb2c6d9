"""Lean load on one endpoint: so many connections, each asking again as soon as it has its answer.

A process of its own for the serve benchmarks, so that what it computes is on nobody's account: given `-`, it
reads one `Load` as JSON from standard input and prints one `Seen`. It only ever speaks to this machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import httptools
import uvloop

TEXT = re.compile(rb'"content": ?"[^"]')
"""The first piece of an answer's text, in a stream."""


@dataclass(frozen=True)
class Load:
    """What is asked, where, and for how long."""

    path: str
    body: dict[str, Any]
    uds: str | None = None
    port: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    connections: int = 1
    seconds: float = 5.0
    core: int | None = None
    spread: float = 0.0
    """Seconds over which the connections begin, so that they do not ask in step."""


@dataclass(frozen=True)
class Seen:
    """What came back."""

    seconds: float
    first: list[float] = field(default_factory=list)
    """Milliseconds to the first text of each streamed answer."""
    whole: list[float] = field(default_factory=list)
    """Milliseconds to the end of each answer."""
    events: int = 0
    failed: int = 0


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.done: asyncio.Future[int] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future[int]:
        self.parser = httptools.HttpResponseParser(self)
        self.first: float | None = None
        self.events, self.rest = 0, b""
        self.done = asyncio.get_running_loop().create_future()
        self.began = time.perf_counter()
        self.transport.write(request)
        return self.done

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, block: bytes) -> None:
        self.events += block.count(b"data: ")
        if self.first is None:
            self.rest += block
            if TEXT.search(self.rest):
                self.first = time.perf_counter()

    def on_message_complete(self) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_result(self.parser.get_status_code())

    def connection_lost(self, error: Exception | None) -> None:
        if self.done is not None and not self.done.done():
            self.done.set_exception(ConnectionError("closed before the answer was complete"))


async def run(load: Load) -> Seen:
    """Ask until the time is over; answers under way are waited for and count."""
    assert load.uds or load.port, "a load goes to this machine only"
    loop = asyncio.get_running_loop()
    content = json.dumps(load.body).encode()
    lines = {**load.headers, "content-type": "application/json", "content-length": len(content)}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    request = f"POST {load.path} HTTP/1.1\r\nhost: localhost\r\n{head}\r\n".encode() + content
    first: list[float] = []
    whole: list[float] = []
    events = failed = 0
    began = time.perf_counter()

    async def connect() -> _Connection:
        if load.uds:
            _, made = await loop.create_unix_connection(_Connection, load.uds)
        else:
            _, made = await loop.create_connection(_Connection, "127.0.0.1", load.port)
            made.transport.get_extra_info("socket").setsockopt(
                socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
            )
        return made

    async def keep_asking(number: int) -> None:
        nonlocal events, failed
        await asyncio.sleep(load.spread * number / load.connections)
        connection = await connect()
        while time.perf_counter() - began < load.seconds:
            try:
                status = await connection.ask(request)
            except ConnectionError:
                status, connection = 0, await connect()
            if status != 200:
                failed += 1
                continue
            whole.append((time.perf_counter() - connection.began) * 1000)
            events += connection.events
            if connection.first is not None:
                first.append((connection.first - connection.began) * 1000)
        connection.transport.close()

    await asyncio.gather(*[keep_asking(number) for number in range(load.connections)])
    return Seen(time.perf_counter() - began, first, whole, events, failed)


def main() -> None:
    """Read a load, print what was seen."""
    load = Load(**json.load(sys.stdin))
    if load.core is not None:
        os.sched_setaffinity(0, {load.core})
    seen = json.dumps(asdict(uvloop.run(run(load))))
    os.set_blocking(sys.stdout.fileno(), True)  # else a long line may come out torn
    print(seen)


if __name__ == "__main__" and sys.argv[1:] == ["-"]:
    main()
