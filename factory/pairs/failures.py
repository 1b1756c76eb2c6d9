"""What it means that a call failed: a wait before the next try, or the end of all calls."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from factory.contracts import Progress, Reply, TeacherError
from factory.errors import EngineError, FactoryError, UsageError
from factory.pairs.pace import Pace

GIVEN_UP = 3
"""Calls given up without an answer in between, after which all is stopped: the endpoint is gone."""

_KEPT = "what was paid for is kept, so the same command goes on from here"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long failures are borne; times in seconds."""

    tries: int = 5
    """Times a call is sent to an endpoint that is overloaded."""
    backoff: float = 1.0
    """Longest wait before the second try; doubled for every further one."""
    pause: float = 2.0
    """First pause after a rate limit that names none."""
    stop: float = 120.0
    """Time without any answer, while calls fail, after which all is stopped."""


class EmptyAnswer(TeacherError):
    """The endpoint answered, and may charge for it, without saying anything.

    Args:
        message: What came in the place of an answer.
        reply: What it charges for.
    """

    def __init__(self, message: str, reply: Reply) -> None:
        super().__init__("overloaded", message)
        self.reply = reply


class Failures:
    """Judges failures; all calls to one endpoint share it.

    Args:
        where: What is asked, for errors.
        pace: Lowered by rate limits, and stopped when nothing can be answered any more.
        patience: How long failures are borne.
        progress: Told why we wait.
    """

    def __init__(self, where: str, pace: Pace, patience: Patience, progress: Progress) -> None:
        self._where = where
        self._pace = pace
        self._patience = patience
        self._progress = progress
        self._since: float | None = None
        self._given_up = 0
        self._told = False

    def over(self) -> None:
        """An answer came."""
        self._alive()
        if self._told:
            self._told = False
            self._progress(note="")

    def met(self, error: TeacherError, tries: int, entered: float) -> float:
        """A call failed.

        Args:
            error: Why.
            tries: How often it has failed, rate limits not counted.
            entered: When it got its place, by the clock of the loop.

        Returns:
            Seconds to wait before its next try.

        Raises:
            TeacherError: If there is to be none.
            FactoryError: If there is to be no call at all any more.
        """
        if error.kind == "fatal":
            raise self._stopped(self._fatal(error)) from error
        if error.kind == "refused":
            self._alive()
            raise error
        now = asyncio.get_running_loop().time()
        if self._since is None:
            self._since = now
        silent, asked = now - self._since, error.retry_after or 0.0
        if max(silent, asked) >= self._patience.stop:
            raise self._stopped(self._broken(error, silent)) from error
        if error.kind == "rate_limit":
            wait, limit = self._pace.limited(entered, error.retry_after), int(self._pace.limit)
            self._tell(f"too many requests: waiting {wait:.0f} s, then {limit} at once")
            return 0.0
        if tries >= self._patience.tries:
            # who answers without a word is alive: that question will not do, others may
            self._given_up += not isinstance(error, EmptyAnswer)
            if self._given_up >= GIVEN_UP:
                raise self._stopped(self._broken(error, silent)) from error
            raise error
        self._tell(f"trying again: {error.message[:80]}")
        return max(asked, random.uniform(0, self._patience.backoff * 2 ** (tries - 1)))

    def _alive(self) -> None:
        self._since = None
        self._given_up = 0

    def _tell(self, note: str) -> None:
        self._told = True
        self._progress(note=note)

    def _stopped(self, error: FactoryError) -> FactoryError:
        self._pace.stop(error)
        return error

    def _fatal(self, error: TeacherError) -> FactoryError:
        return UsageError(
            "the teacher cannot be asked",
            where=self._where,
            got=error.message,
            hint=f"correct the `teacher` section; {_KEPT}",
        )

    def _broken(self, error: TeacherError, silent: float) -> FactoryError:
        if error.retry_after and error.retry_after >= self._patience.stop:
            what = f"the teacher asks to wait {error.retry_after:.0f} s"
        elif silent >= self._patience.stop:
            what = f"the teacher has answered nothing for {silent:.0f} s"
        else:
            what = (
                f"the teacher has answered none of the last {GIVEN_UP} calls, each of them sent"
                f" {self._patience.tries} times"
            )
        return EngineError(
            what,
            where=self._where,
            got=error.message,
            hint=f"try again later, or lower `teacher.concurrency`; {_KEPT}",
        )
