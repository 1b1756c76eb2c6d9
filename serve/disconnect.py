"""Work that ends when the client hangs up, so that no engine generates for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.types import Receive

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client closed the connection before the answer was complete."""


async def until_gone(receive: Receive, work: Awaitable[T]) -> T:
    """Await `work`; cancel it, and wait for its clean-up, as soon as the client disconnects.

    The request's body must have been read. uvicorn reports a disconnect in different ways in
    different versions; `receive` is the one that has always worked.

    Raises:
        ClientGoneError: If the client was faster.
    """
    task = asyncio.current_task()
    assert task is not None
    before, gone = task.cancelling(), False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watching = asyncio.create_task(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if gone and task.uncancel() <= before:
            raise ClientGoneError from None
        raise
    finally:
        watching.cancel()
