"""The gateway's side of the wire to an engine: pooled connections, raw bytes, nothing interpreted.

aiohttp, because per request it takes a tenth of the processor time of other clients, and closing a
response closes its connection at once, which is how an engine learns that nobody listens any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Self

import aiohttp
from pydantic_core import to_json

from factory.contracts import Endpoint

IDLE = 4
"""Seconds an unused connection is kept: less than the 5 after which uvicorn, and so vLLM, closes one.
A request that is sent just when the other side closes would be lost."""

CONNECT = 5
"""Seconds a connection may take. An answer may take what it takes."""


class UnreachableError(Exception):
    """The engine cannot be reached, or broke off."""


class Reply:
    """A response whose status line is there; read it to the end or close it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self._response = response

    async def read(self) -> bytes:
        """All of it.

        Raises:
            UnreachableError: If it breaks off.
        """
        try:
            return await self._response.read()
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error

    async def block(self) -> bytes:
        """What has come since the last call, or comes next; empty at the end. May be cancelled.

        Raises:
            UnreachableError: If it breaks off.
        """
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Let go; closes the connection if the response was not read to its end."""
        self._response.close()


class Client:
    """Connections to one engine; an asynchronous context manager.

    Args:
        endpoint: Where it is.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._base = endpoint.base_url.rstrip("/")

    async def __aenter__(self) -> Self:
        uds = self._endpoint.uds
        connector = (
            aiohttp.UnixConnector(str(uds), limit=0, keepalive_timeout=IDLE)
            if uds
            else aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE)
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"accept-encoding": "identity", **self._endpoint.headers},
            skip_auto_headers=("user-agent",),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    async def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send JSON and wait for the status line.

        Raises:
            UnreachableError: If there is none.
        """
        if self._session.closed:  # the engine was given up while this request was being prepared
            raise UnreachableError("the connections to this engine are closed")
        try:
            return Reply(
                await self._session.post(
                    self._base + path,
                    data=to_json(body),
                    headers={"content-type": "application/json", **(headers or {})},
                    allow_redirects=False,
                )
            )
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error

    async def healthy(self, *, patience: float = 2) -> bool:
        """Whether the engine says that it is well, in time."""
        if self._session.closed:
            return False
        asked = self._session.get(self._base + self._endpoint.health)
        try:
            async with asyncio.timeout(patience), asked as response:
                return response.status == 200
        except (aiohttp.ClientError, OSError):
            return False
