"""What every engine needs: a private place for its socket, and proof that tokens come out."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from factory.contracts import Endpoint
from factory.errors import EngineError

MAX_SOCKET_PATH = 100
"""The kernel takes 107 bytes."""


@contextmanager
def socket_path() -> Iterator[Path]:
    """A path for a Unix socket in a new folder that only this user can enter."""
    base = tempfile.gettempdir()
    if len(base) > MAX_SOCKET_PATH - len("/pf-12345678/s"):
        base = "/tmp"
    with tempfile.TemporaryDirectory(prefix="pf-", dir=base) as folder:
        yield Path(folder, "s")


def new_endpoint(model: str, uds: Path, key: str) -> Endpoint:
    """An endpoint behind a Unix socket, with its key."""
    headers = {"authorization": f"Bearer {key}"}
    return Endpoint(base_url="http://engine", model=model, uds=uds, headers=headers)


def client(endpoint: Endpoint) -> httpx.Client:
    """A blocking client of an engine."""
    return httpx.Client(
        transport=httpx.HTTPTransport(uds=str(endpoint.uds)),
        base_url=endpoint.base_url,
        headers=endpoint.headers,
        timeout=300,
    )


def first_token(http: httpx.Client, model: str) -> None:
    """Generate one token: an open port does not prove that a model answers.

    Raises:
        EngineError: With what the engine said.
    """
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 1,
        "temperature": 0,
    }
    try:
        response = http.post("/v1/chat/completions", json=body)
    except httpx.HTTPError as error:
        raise EngineError("the engine broke off its first answer", got=str(error)) from error
    if response.status_code != 200:
        raise EngineError("the engine cannot generate", got=response.text[:400])


def wait_healthy(http: httpx.Client, uds: Path, check: Callable[[], None]) -> None:
    """Poll `/health` until it says 200; `check` raises when waiting has become pointless."""
    while True:
        check()
        with suppress(OSError, httpx.HTTPError):
            with socket.socket(socket.AF_UNIX) as knock:  # httpx leaks a socket that cannot connect
                knock.connect(str(uds))
            if http.get("/health", timeout=5).status_code == 200:
                return
