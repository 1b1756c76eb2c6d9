"""The connections to one endpoint; what breaks on the way is a `TeacherError` with the cause in words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

import httpx

from factory.contracts import TeacherError
from factory.teachers.address import Address, is_loopback

_CONNECT = 15.0
"""Seconds for a connection; a host that takes longer is taken for unreachable."""

_PROXY = "the proxy of the environment cannot be used"
_PROXY_HINT = (
    "set HTTPS_PROXY or ALL_PROXY to http://HOST:PORT, or to socks5://HOST:PORT after"
    ' pip install "httpx[socks]"'
)


class Line:
    """As many connections as there are calls at a time; an asynchronous context manager.

    A client for each, because httpx's pool looks at all its connections at every request, which
    would take most of a call's processor time.

    Args:
        address: Where to.
        headers: Of every request.
        timeout: Seconds for one whole response.
        uds: Unix socket to connect to, in the place of the host.
    """

    def __init__(
        self, address: Address, headers: Mapping[str, str], timeout: float, uds: Path | None
    ) -> None:
        self._timeout = timeout
        self._uds = str(uds) if uds else None
        self._open: AsyncExitStack | None = None
        self._idle: list[httpx.AsyncClient] = []
        local = bool(uds) or is_loopback(address.host)
        self._secure = address.url.scheme == "https" or not local
        self._limits = httpx.Limits(
            max_connections=1, max_keepalive_connections=1, keepalive_expiry=60
        )
        self._options: dict[str, Any] = {
            "limits": self._limits,
            "headers": {
                "user-agent": "persona-factory",
                "content-type": "application/json",
                **headers,
            },
            "params": address.query,
            "auth": address.auth,
            "timeout": httpx.Timeout(timeout, connect=min(_CONNECT, timeout), pool=None),
            # A proxy is for the world outside, whatever the environment says.
            "trust_env": not local,
        }

    async def __aenter__(self) -> Self:
        """Connections are opened as they are needed."""
        self._open = AsyncExitStack()
        # Loading the certificates takes as long as some fifty calls; a plain local line needs none.
        self._options["verify"] = httpx.create_ssl_context() if self._secure else False
        return self

    async def __aexit__(self, *error: object) -> None:
        """Close them all."""
        if self._open is not None:
            self._idle.clear()
            await self._open.aclose()
            self._open = None

    async def send(
        self, method: str, url: str, content: bytes | None = None, *, answered: bool
    ) -> httpx.Response:
        """Send a request and read the whole response.

        Args:
            method: `GET` or `POST`.
            url: The whole address.
            content: JSON.
            answered: Whether this endpoint has answered before; one that never did is not there.

        Raises:
            TeacherError: If no response comes, or only a part of one.
        """
        client = await self._client()
        try:
            # A server that drips keeps every single read in time.
            async with asyncio.timeout(self._timeout):
                return await client.request(method, url, content=content)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            words = f"cannot reach {url}: {_cause(error)}"
            raise TeacherError("overloaded" if answered else "fatal", words) from error
        except (httpx.TimeoutException, TimeoutError) as error:
            words = f"no answer within {self._timeout:g} s"
            raise TeacherError("overloaded", words) from error
        except httpx.RequestError as error:
            words = f"the connection broke off: {_cause(error)}"
            raise TeacherError("overloaded", words) from error
        finally:
            self._idle.append(client)

    async def _client(self) -> httpx.AsyncClient:
        if self._open is None:
            raise RuntimeError("the teacher is asked outside its block")
        if self._idle:
            return self._idle.pop()
        socket = httpx.AsyncHTTPTransport(uds=self._uds, limits=self._limits) if self._uds else None
        try:
            client = httpx.AsyncClient(transport=socket, **self._options)
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            words = f"{_PROXY}: {str(error).rstrip('.')}; {_PROXY_HINT}"
            raise TeacherError("fatal", words) from error
        return await self._open.enter_async_context(client)


def _cause(error: BaseException) -> str:
    """What the system said, below the wrappings."""
    words = str(error)
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
        words = str(error) or words
    return words or type(error).__name__
