"""How many calls may be in flight, and when: less when the endpoint asks for it, slowly more again."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random

from factory.errors import FactoryError

SLOWER = 0.75
"""What a rate limit makes of the number of calls in flight."""

SUCCESSES = 25
"""Answers in a row after which one more call may be in flight."""

LONGEST = 60.0
"""Longest pause, in seconds, that is chosen here and not by the endpoint."""


class Pace:
    """Hands out places: the more urgent first, then first come, first served.

    Args:
        most: Calls in flight at the start, and at most.
        pause: Seconds of the first pause when a rate limit names none; doubled from time to time.
    """

    def __init__(self, most: int, pause: float) -> None:
        self.limit = float(most)
        self.active = 0
        self._most = most
        self._pause = pause
        self._pauses = 0
        self._streak = 0
        self._slowed = 0.0
        self._resume = 0.0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()
        self._over: FactoryError | None = None

    async def enter(self, rank: int = 0) -> float:
        """Wait for a place; `leave` gives it back.

        Args:
            rank: Whoever has a lower one goes first.

        Returns:
            When that was, by the clock of the loop.

        Raises:
            FactoryError: What `stop` was called with.
        """
        loop = asyncio.get_running_loop()
        self.check()
        if not self._waiting and self._free(loop.time()):
            self.active += 1
            return loop.time()
        turn = loop.create_future()
        heapq.heappush(self._waiting, (rank, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()  # the place had just been given
            raise
        return loop.time()

    def check(self) -> None:
        """Raise what `stop` was called with, if it was."""
        if self._over is not None:
            raise self._over

    def leave(self) -> None:
        """Give a place back."""
        self.active -= 1
        self._wake()

    def succeeded(self) -> None:
        """An answer came."""
        self._pauses = 0
        self._streak += 1
        if self._streak >= SUCCESSES and self.limit < self._most:
            self._streak = 0
            self.limit = min(self.limit + 1, self._most)
            self._wake()

    def limited(self, entered: float, retry_after: float | None) -> float:
        """The endpoint said that there are too many calls.

        Args:
            entered: When the call entered. One that was in flight already when the pace was last
                lowered says nothing new.
            retry_after: Seconds the endpoint asked to wait.

        Returns:
            Seconds until the next call is sent.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        if entered >= self._slowed:
            self._slowed, self._streak = now, 0
            self.limit = max(1.0, self.limit * SLOWER)
            if not retry_after:
                wait = min(self._pause * 2**self._pauses, LONGEST)
                self._rest(now + wait * random.uniform(0.5, 1.0))
                self._pauses = min(self._pauses + 1, 16)
        if retry_after:
            self._rest(now + retry_after * random.uniform(1.0, 1.05))
        return max(0.0, self._resume - now)

    def stop(self, error: FactoryError) -> None:
        """No call is sent any more; whoever waits or comes gets this error."""
        self._over = self._over or error
        while self._waiting:
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                turn.set_exception(self._over)

    def _rest(self, until: float) -> None:
        if until > self._resume:
            self._resume = until
            asyncio.get_running_loop().call_at(until, self._wake)

    def _free(self, now: float) -> bool:
        return now >= self._resume and self.active < int(self.limit)

    def _wake(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._waiting and self._free(now):
            turn = heapq.heappop(self._waiting)[2]
            if not turn.done():
                self.active += 1
                turn.set_result(None)
