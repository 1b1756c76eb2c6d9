"""How much a client may ask for: requests and tokens a minute, and answers at once.

Everything is in memory and costs no waiting: a bucket is one number, the moment at which it is full again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from serve.protocol import ApiError

MINUTE = 60.0

BYTES_PER_TOKEN = 4
"""For the estimate of a request's tokens from its size; what was really used is settled at the end."""

EXPOSED = ["retry-after"] + [
    f"x-ratelimit-{fact}-{what}"
    for what in ("requests", "tokens")
    for fact in ("limit", "remaining", "reset")
]
"""Response headers that a page in a browser may read."""

_SLACK = 1e-6
"""Seconds, and tokens: sums of fractions are not exact."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may use; None means no limit."""

    requests: int | None = None
    """A minute. As many may come at once after a minute of rest."""
    tokens: int | None = None
    """A minute, prompt and answer together, as `usage.total_tokens` counts them."""
    streams: int | None = None
    """Answers in progress at the same time, streamed or whole."""

    def or_else(self, defaults: Limits) -> Limits:
        """These limits, with what is not set taken from `defaults`."""
        pairs = (
            (self.requests, defaults.requests),
            (self.tokens, defaults.tokens),
            (self.streams, defaults.streams),
        )
        return Limits(*(default if own is None else own for own, default in pairs))


UNLIMITED = Limits()


@dataclass(slots=True)
class _Bucket:
    """Holds `limit` units and gains as many a minute; settling may leave it in debt."""

    full_at: float = 0.0

    def level(self, limit: int, now: float) -> float:
        return limit - max(0.0, self.full_at - now) * limit / MINUTE

    def wait(self, cost: float, limit: int, now: float) -> float:
        """Seconds until `cost` units are there; 0 if they are."""
        seconds = self.full_at - now - (limit - cost) * MINUTE / limit
        return seconds if seconds > _SLACK else 0.0

    def take(self, cost: float, limit: int, now: float) -> None:
        """Take units out, or give some back: then `cost` is negative."""
        self.full_at = max(self.full_at, now) + cost * MINUTE / limit


@dataclass(slots=True)
class _Account:
    requests: _Bucket = field(default_factory=_Bucket)
    tokens: _Bucket = field(default_factory=_Bucket)
    streams: int = 0

    def idle(self, now: float) -> bool:
        """Whether a new account would be the same."""
        return not self.streams and max(self.requests.full_at, self.tokens.full_at) <= now


class Ticket:
    """The right to one answer; `close` gives the place back and settles the tokens.

    Args:
        account: Whose it is.
        limits: What was promised when it began.
        estimate: Tokens that were taken in advance.
        clock: The limiter's.
    """

    def __init__(
        self, account: _Account, limits: Limits, estimate: int, clock: Callable[[], float]
    ) -> None:
        self._account = account
        self._limits = limits
        self._clock = clock
        self.estimate = estimate
        self.headers = _headers(account, limits, clock())
        """What the response says about the limits."""

    def close(self, tokens: int) -> None:
        """The answer has ended, and has cost this many tokens."""
        self._account.streams -= 1
        if self._limits.tokens is not None:
            self._account.tokens.take(tokens - self.estimate, self._limits.tokens, self._clock())


class Limiter:
    """Accounts of all clients; those that have rested long enough are forgotten.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._sweep_at = clock() + MINUTE

    def __len__(self) -> int:
        return len(self._accounts)

    def enter(self, client: str, limits: Limits, *, estimate: int) -> Ticket:
        """Begin an answer; the caller closes the ticket.

        Args:
            client: Whose account it goes on.
            limits: That client's.
            estimate: Tokens that the prompt is likely to have. A prompt larger than the limit is let in
                when nothing else was used, and paid off afterwards.

        Raises:
            ApiError: 429 `rate_limit_exceeded`, with `retry-after` and what is left. Costs nothing.
        """
        now = self._clock()
        self._sweep(now)
        account = self._accounts.get(client) or self._accounts.setdefault(client, _Account())
        estimate = min(estimate, limits.tokens) if limits.tokens is not None else estimate
        if limits.streams is not None and account.streams >= limits.streams:
            many = f"{limits.streams} {'answer' if limits.streams == 1 else 'answers'} at once"
            raise _refused(many, 1.0, _headers(account, limits, now))
        for bucket, limit, cost, what in (
            (account.requests, limits.requests, 1, "requests"),
            (account.tokens, limits.tokens, max(estimate, 1), "tokens"),
        ):
            if limit is not None and (wait := bucket.wait(cost, limit, now)):
                raise _refused(f"{limit} {what} a minute", wait, _headers(account, limits, now))
        if limits.requests is not None:
            account.requests.take(1, limits.requests, now)
        if limits.tokens is not None:
            account.tokens.take(estimate, limits.tokens, now)
        account.streams += 1
        return Ticket(account, limits, estimate, self._clock)

    def _sweep(self, now: float) -> None:
        """Once a minute, forget who has nothing open and nothing to pay back."""
        if now < self._sweep_at:
            return
        self._sweep_at = now + MINUTE
        self._accounts = {k: a for k, a in self._accounts.items() if not a.idle(now)}


def _refused(allowed: str, wait: float, headers: dict[str, str]) -> ApiError:
    seconds = math.ceil(wait)
    return ApiError(
        429,
        f"this key may have {allowed}; try again in {seconds} s",
        code="rate_limit_exceeded",
        headers={**headers, "retry-after": str(seconds)},
    )


def _headers(account: _Account, limits: Limits, now: float) -> dict[str, str]:
    """OpenAI's names; `reset` is when everything is there again."""
    found = {}
    for bucket, limit, what in (
        (account.requests, limits.requests, "requests"),
        (account.tokens, limits.tokens, "tokens"),
    ):
        if limit is not None:
            level = max(0, math.floor(bucket.level(limit, now) + _SLACK))
            found[f"x-ratelimit-limit-{what}"] = str(limit)
            found[f"x-ratelimit-remaining-{what}"] = str(level)
            found[f"x-ratelimit-reset-{what}"] = _duration(max(0.0, bucket.full_at - now))
    return found


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `12ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest:.0f}s" if minutes else f"{rest:g}s"
