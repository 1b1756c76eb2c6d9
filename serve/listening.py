"""The front door: a port that is ours before anything is loaded, and a clean end on any signal."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from factory.errors import UsageError
from serve.drain import Drain
from serve.heads import BoundedHeads

DRAIN = 30
"""Seconds that answers in flight may take after a signal; a second signal ends them sooner."""
GRACE = 5
"""Seconds that what is still open after that has to close."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a socket bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def claim_port(
    host: str, port: int, *, keyed: bool, option: str = "--port"
) -> Iterator[socket.socket]:
    """A bound socket, so that nobody can take the port while the model loads; see `listen`.

    Args:
        host: Address to listen on.
        port: TCP port; 0 for any free one.
        keyed: Whether clients need a key.
        option: What chooses the port, for the message if it is taken.

    Raises:
        UsageError: If the port is taken (names by whom), not ours to take, or open without a key.
    """
    if not keyed and not is_loopback(host):
        raise UsageError(
            "an endpoint that other machines can reach needs a key",
            where="--host",
            got=host,
            allowed="127.0.0.1 without a key, or any address with one",
            hint="make one with `factory keys create`, or set the environment variable FACTORY_API_KEY",
        )
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UsageError("no such address", where="--host", got=host) from error
    with socket.socket(family, socket.SOCK_STREAM) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind(address)
        except OSError as error:
            raise _refused(error, host, port, option) from error
        # It let us pass by connections that are still closing. As long as nobody listens, it would let
        # others pass by us, too.
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        yield door


def listen(door: socket.socket, option: str = "--port") -> None:
    """From here on a client waits instead of being refused.

    Args:
        door: From `claim_port`.
        option: As there.

    Raises:
        UsageError: If somebody has taken the port after all.
    """
    # Connections inherit it, and those without it would keep the port from the next start for a minute.
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.listen()
    except OSError as error:
        host, port = door.getsockname()[:2]
        raise _refused(error, host, port, option) from error


def _refused(error: OSError, host: str, port: int, option: str) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        owner = listener(port)
        return UsageError(
            "the port is in use",
            where=f"{host}:{port}",
            got=owner or "a process that does not listen yet, or another user's",
            hint=f"stop it, or choose another port: {option} {port + 1}",
        )
    return UsageError(
        "cannot listen on this address",
        where=f"{host}:{port}",
        got=error.strerror,
        hint=f"choose another address with --host, or a port above 1023 with {option}",
    )


def listener(port: int) -> str | None:
    """The process that listens on a TCP port, `name (process N)`, if we may know it."""
    sockets = {
        f"socket:[{fields[9]}]"
        for table in ("/proc/net/tcp", "/proc/net/tcp6")
        for fields in map(str.split, _lines(table)[1:])
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
    }
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(link) in sockets:
                name = (link.parents[1] / "comm").read_text().strip()
                return f"{name} (process {link.parts[2]})"
        except OSError:  # ended meanwhile, or another user's
            continue
    return None


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text().splitlines()
    except OSError:
        return []


@contextmanager
def stoppable() -> Iterator[None]:
    """Turn SIGTERM into an orderly exit, so that engines are stopped whatever we are doing."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(0)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def run(app: Any, door: socket.socket) -> None:
    """Serve until a signal; returns after the last answer, or after DRAIN seconds.

    Args:
        app: Made by `create_app`.
        door: A bound, listening socket.
    """
    # A full collection stops every stream for as long as it looks at what was there before the first
    # request. That is set aside, and the rest is looked at less often than a script would want.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, *gc.get_threshold()[1:])
    _Server(app.state.drain, _config(app)).run(sockets=[door])


class _Server(uvicorn.Server):
    """Drains at the first signal and ends at the second."""

    def __init__(self, drain: Drain, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.drain = drain

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """See `Drain`."""
        if self.drain.draining:
            super().handle_exit(sig, frame)
            return
        self.drain.begin()
        self.finishing = asyncio.run_coroutine_threadsafe(self._finish(sig), self.loop)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Remember the loop for the signal's handler."""
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)

    async def _finish(self, sig: int) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.drain.empty(), DRAIN)
        super().handle_exit(sig, None)


@contextmanager
def running(app: Any, door: socket.socket) -> Iterator[None]:
    """Serve from a thread of this process for the length of the block."""
    server = uvicorn.Server(_config(app))
    thread = threading.Thread(target=lambda: server.run(sockets=[door]), daemon=True)
    thread.start()
    try:
        _wait(lambda: server.started or not thread.is_alive())
        yield
    finally:
        server.should_exit = True
        thread.join()


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=BoundedHeads,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nobody here asks for the client's address
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


def _wait(done: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not done():
        pause.wait(0.01)
