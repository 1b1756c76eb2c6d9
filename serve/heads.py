"""A limit on the size of a request's head (its first line and headers), which the HTTP parser lacks.

Without one, a client may send a single header for ever and the server keeps all of it in memory.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serve.protocol import ApiError
from serve.trace import request_id

MAX_HEAD = 32 * 1024
"""Largest head, in bytes; cookies of a crowded localhost fit many times over."""


class _TooLargeError(Exception):
    """Raised inside the parser, which then stops and says that the request is invalid."""


class BoundedHeads(HttpToolsProtocol):
    """uvicorn's HTTP protocol; what it refuses itself is refused in OpenAI's envelope."""

    _head = 0
    _in_head = False

    def on_message_begin(self) -> None:
        """A new request begins."""
        self._head, self._in_head = 0, True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """A piece of the first line."""
        self._grow(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One whole header."""
        self._grow(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client; the parser shows an unfinished header to nobody, so count them here."""
        unfinished = self._in_head
        super().data_received(data)
        if unfinished and self._in_head and not self.transport.is_closing():
            self._head += len(data)
            if self._head > MAX_HEAD:
                self.send_400_response("too large")

    def send_400_response(self, msg: str) -> None:
        """Refuse and hang up."""
        if self._head > MAX_HEAD:
            error = ApiError(
                431, f"the headers have more than {MAX_HEAD} bytes", code="headers_too_large"
            )
        else:
            error = ApiError(400, "this is not a valid HTTP request", code="invalid_request")
        body = json.dumps(error.envelope()).encode()
        head = (
            f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"x-request-id: {request_id(None)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _grow(self, count: int) -> None:
        self._head += count
        if self._head > MAX_HEAD:
            raise _TooLargeError
