"""What differs between the ways to ask for text: one small record for each route that answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any, Generic

from serve.protocol import Asked, ChatRequest
from serve.proxy import Upstream, build
from serve.relay import Chunks, events
from serve.served import Served

Whole = dict[str, Any]
Events = AsyncGenerator[bytes]


@dataclass(frozen=True, slots=True)
class Dialect(Generic[Asked]):
    """How one kind of request is read, what the engine is asked, and how its answer is told.

    Everything that is told is told in the language of chat completions first: `whole` and `events`
    translate that.
    """

    kind: type[Asked]
    build: Callable[[Served, str, Asked, str], Upstream]
    """Release, the engine's name for it, the request, the tenant's salt: the engine's request."""
    whole: Callable[[Asked, Whole], Whole] = lambda asked, found: found
    """A `chat.completion`, in the words of this dialect."""
    events: Callable[[Asked, Chunks], Events] = lambda asked, found: events(found)
    """The chunks of a chat stream, in the words of this dialect."""


CHAT = Dialect(ChatRequest, build)
"""`/v1/chat/completions`."""
