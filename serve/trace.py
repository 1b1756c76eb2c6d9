"""What is known about one request: who asked for what, when each step was taken, how it ended.

The edge makes one and everybody on the way notes what he knows, in single cheap calls. Logs, metrics and
spans are made of it at the end; there is no text of a conversation in it.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any, Literal, Protocol

from serve.limits import BYTES_PER_TOKEN, Ticket
from serve.served import Served

Outcome = Literal["ok", "refused", "client_left", "error"]

GONE = 499
"""Status of a response that nobody is there to read."""

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id(given: str | None) -> str:
    """The client's own id if it is a short plain token, else a new one."""
    if given is not None and _SAFE_ID.fullmatch(given):
        return given
    return uuid.uuid4().hex


@dataclass(slots=True, eq=False)
class Trace:
    """One request; all times are `time.perf_counter()`, in seconds."""

    id: str
    method: str
    path: str
    """As the client wrote it, tidied; never a label of a metric."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """What the engine is told with the request: trace context, if spans are made."""
    route: str | None = None
    """The route's pattern; None if no route fits."""
    began_at: float = field(default_factory=time)
    """Wall-clock time of arrival, in seconds since 1970."""
    received: float = field(default_factory=perf_counter)
    size: int = 0
    """Bytes of the request's body."""
    queued: float | None = None
    leased: float | None = None
    sent: float | None = None
    """When the engine was asked."""
    first: float | None = None
    """When the first piece of a streamed answer was there."""
    finished: float | None = None
    """When the finish reason was there: a client that leaves after it has its answer."""
    ended: float | None = None
    served: Served | None = None
    client: str | None = None
    """Id of the key that was used; never the key."""
    ticket: Ticket | None = None
    """What it takes of its client's limits; given back at the end."""
    status: int = 0
    code: str | None = None
    """Code of the error, if there was one."""
    broken: bool = False
    """Whether the answer broke off on our side."""
    complete: bool = False
    """Whether the last byte of the response was handed over."""
    ungated: bool = False
    pieces: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def queue(self) -> None:
        """From here it waits for a release's engine."""
        self.queued = perf_counter()

    def lease(self, served: Served) -> None:
        """It has one."""
        self.leased = perf_counter()
        self.served = served

    def send(self) -> None:
        """The engine is asked."""
        self.sent = perf_counter()

    def piece(self) -> None:
        """A piece of a streamed answer is passed on."""
        self.pieces += 1
        if self.first is None:
            self.first = perf_counter()

    def finish(self) -> None:
        """The answer has its finish reason."""
        self.finished = perf_counter()

    def usage(self, found: Mapping[str, Any]) -> None:
        """The engine's own counts."""
        self.prompt_tokens = int(found["prompt_tokens"])
        self.completion_tokens = int(found["completion_tokens"])

    def fail(self, code: str | None, *, broken: bool = False) -> None:
        """It becomes an error.

        Args:
            code: As in the error envelope.
            broken: Whether the status line had gone out already.
        """
        self.code = code
        self.broken = self.broken or broken

    def end(self) -> None:
        """Nothing more happens; a stream whose counts never came is counted by its pieces."""
        self.ended = perf_counter()
        if not self.completion_tokens:
            self.completion_tokens = self.pieces
        if self.ticket is not None:
            self.ticket.close(self._cost(self.ticket.estimate))

    def _cost(self, estimate: int) -> int:
        """Tokens to be paid: the engine's own counts, if it has lived to tell them."""
        if self.prompt_tokens:
            return self.prompt_tokens + self.completion_tokens
        # A body in chunks has no size until it was read, so what it really had counts as well.
        prompt = max(estimate, self.size // BYTES_PER_TOKEN)
        return prompt + self.pieces if self.sent is not None else 0

    @property
    def outcome(self) -> Outcome:
        """How it ended, as an operator would say it."""
        if self.broken or self.status >= 500:
            return "error"
        if self.status == GONE or not (self.complete or self.finished):
            return "client_left"
        return "refused" if self.status >= 400 else "ok"

    @property
    def ttft(self) -> float | None:
        """Seconds to the first piece; of a streamed answer only."""
        return None if self.first is None else self.first - self.received

    @property
    def seconds(self) -> float:
        """From its arrival to its end, or to now."""
        return (self.ended or perf_counter()) - self.received

    @property
    def per_token(self) -> float | None:
        """Seconds per token after the first; of a streamed answer that was finished."""
        if self.first is None or self.finished is None or self.completion_tokens < 2:
            return None
        return (self.finished - self.first) / (self.completion_tokens - 1)

    @property
    def server_timing(self) -> str:
        """What is known when the status line goes out, for the `Server-Timing` header."""
        now = perf_counter()
        known = {}
        if self.queued is not None and self.leased is not None:
            known["queue"] = self.leased - self.queued
            known["prepare"] = (self.sent or now) - self.received - known["queue"]
        if self.sent is not None:
            known["engine"] = now - self.sent
        known["total"] = now - self.received
        return ", ".join(f"{name};dur={1000 * seconds:.2f}" for name, seconds in known.items())


class Observer(Protocol):
    """Whoever wants to know of every request; called on the event loop, so it must be quick."""

    def began(self, trace: Trace, headers: Mapping[str, str]) -> None:
        """A request is there, with these headers."""

    def ended(self, trace: Trace) -> None:
        """It has ended, however that was."""
