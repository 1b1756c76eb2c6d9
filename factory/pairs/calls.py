"""Asks a teacher: each question once, within the budget, at a pace the endpoint bears."""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from factory.contracts import Progress, Reply, Request, Teacher, TeacherError
from factory.errors import EngineError, FactoryError, UsageError
from factory.pairs import ledger as paid
from factory.pairs.budget import Budget, BudgetExhausted, Hold
from factory.pairs.ledger import Ledger, Spent
from factory.pairs.pace import Pace

_SURROGATES = re.compile("[\ud800-\udfff]")
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


@runtime_checkable
class Learning(Protocol):
    """A teacher that learns what its endpoint understands, in a form JSON can hold."""

    facts: dict[str, Any] | None


class Caller:
    """Asks a teacher through the ledger; for one build, in one event loop.

    Args:
        teacher: Who answers; inside its own block while it is asked.
        ledger: Where the answers are kept.
        budget: What may be spent. What an earlier run paid for the same calls counts.
        concurrency: Most calls in flight.
        template_version: Of the prompts; another version asks everything anew.
        progress: Told when the endpoint makes us wait.
        patience: How long failures are borne.
    """

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger,
        budget: Budget,
        *,
        concurrency: int,
        template_version: int | str,
        progress: Progress,
        patience: Patience = Patience(),
    ) -> None:
        self._teacher = teacher
        self._ledger = ledger
        self._budget = budget
        self._version = template_version
        self._progress = progress
        self._patience = patience
        self._pace = Pace(concurrency, patience.pause)
        self._keys: set[str] = set()
        self._flying: dict[str, asyncio.Future[Reply]] = {}
        self._settled = asyncio.Event()
        self._failing: float | None = None
        self._slow = False
        self._name = f"{teacher.endpoint} {teacher.model}"
        self._facts = ledger.facts(self._name)
        self._learning = teacher if isinstance(teacher, Learning) else None
        if self._facts and self._learning:
            self._learning.facts = {**(self._learning.facts or {}), **self._facts}

    def key(self, request: Request) -> str:
        """The ledger's key of a question."""
        return paid.key(self._teacher.endpoint, self._teacher.model, request, self._version)

    def spent(self) -> Spent:
        """What everything that was asked here has cost, in this run and before."""
        return self._ledger.spent(self._keys)

    async def ask(self, request: Request) -> Reply:
        """The answer to a question: from the ledger, from a call in flight, or paid for now.

        Raises:
            TeacherError: If this one question got no answer (`refused`, or `overloaded` at every
                try); others may still.
            BudgetExhausted: If it might pass a ceiling.
            FactoryError: If no question can be answered any more, with the endpoint's own words.
        """
        key = self.key(request)
        while True:
            if reply := self._known(key):
                return reply
            flying = self._flying.get(key)
            if flying is None:
                return await self._answer(key, request)
            await asyncio.wait({flying})
            if not flying.cancelled():
                return flying.result()

    def _known(self, key: str) -> Reply | None:
        reply, spent = self._ledger.look(key)
        if key not in self._keys:
            self._keys.add(key)
            self._budget.count(spent)
        return reply

    async def _answer(self, key: str, request: Request) -> Reply:
        """Pay for an answer that others may wait for, too."""
        future = asyncio.get_running_loop().create_future()
        self._flying[key] = future
        try:
            reply = await self._pay(key, request)
        except Exception as error:
            future.set_exception(error)
            future.exception()  # it is nobody's fault if nobody else waits
            raise
        except BaseException:
            future.cancel()  # whoever waits asks now
            raise
        else:
            future.set_result(reply)
            return reply
        finally:
            del self._flying[key]

    async def _pay(self, key: str, request: Request) -> Reply:
        tries = 0
        while True:
            entered = await self._pace.enter()
            try:
                hold = await self._reserve(request)
                try:
                    return await self._send(key, request, hold)
                except TeacherError as error:
                    tries += error.kind != "rate_limit"
                    wait = self._failed(error, tries, entered)
            finally:
                self._pace.leave()
            await asyncio.sleep(wait)

    async def _reserve(self, request: Request) -> Hold:
        while True:
            try:
                return self._budget.reserve(request)
            except BudgetExhausted:
                if not self._budget.held:
                    raise
                # Calls in flight hold their worst case; most of it comes back.
                self._settled.clear()
                await self._settled.wait()

    async def _send(self, key: str, request: Request, hold: Hold) -> Reply:
        """Send a call once; the ledger and the budget know its end, however it comes."""
        teacher = self._teacher
        try:
            self._ledger.begin(key, endpoint=teacher.endpoint, model=teacher.model, request=request)
            reply = _clean(await teacher.reply(request))
            if not reply.text.strip():
                raise EmptyAnswer("the answer is empty", reply)
        except TeacherError as error:
            charged = error.reply if isinstance(error, EmptyAnswer) else None
            cost = self._settle(hold, charged)
            self._ledger.failed(key, error.kind, error.message, charged, cost)
            raise
        except BaseException as error:
            self._settle(hold, None)
            if isinstance(error, FactoryError):
                self._pace.stop(error)  # no engine, no disk: the next call would meet it, too
            raise
        self._ledger.done(key, reply, self._settle(hold, reply))
        self._succeeded()
        return reply

    def _settle(self, hold: Hold, charged: Reply | None) -> float | None:
        self._settled.set()
        return self._budget.settle(hold, charged)

    def _succeeded(self) -> None:
        self._failing = None
        self._pace.succeeded()
        if self._slow:
            self._slow = False
            self._progress(note="")
        learned = self._learning.facts if self._learning else None
        if learned and learned != self._facts:
            self._facts = dict(learned)
            self._ledger.remember(self._name, self._facts)

    def _failed(self, error: TeacherError, tries: int, entered: float) -> float:
        """What a failure means: an error, or the seconds to wait before the next try."""
        now = asyncio.get_running_loop().time()
        if error.kind == "fatal":
            raise self._stopped(self._fatal(error)) from error
        if error.kind == "refused":
            self._failing = None  # it is alive and answers
            raise error
        if self._failing is None:
            self._failing = now
        asked = error.retry_after or 0.0
        if now - self._failing >= self._patience.stop or asked > self._patience.stop:
            raise self._stopped(self._broken(error, now - self._failing)) from error
        if error.kind == "rate_limit":
            wait = self._pace.limited(entered, error.retry_after)
            self._say(
                f"too many requests: waiting {wait:.0f} s, then {int(self._pace.limit)} at once"
            )
            return 0.0
        if tries >= self._patience.tries:
            raise error
        self._say(f"trying again: {error.message[:80]}")
        return max(asked, random.uniform(0, self._patience.backoff * 2 ** (tries - 1)))

    def _say(self, note: str) -> None:
        self._slow = True
        self._progress(note=note)

    def _stopped(self, error: FactoryError) -> FactoryError:
        self._pace.stop(error)
        return error

    def _fatal(self, error: TeacherError) -> FactoryError:
        return UsageError(
            "the teacher cannot be asked",
            where=self._where(),
            got=error.message,
            hint=f"correct the `teacher` section; {_KEPT}",
        )

    def _broken(self, error: TeacherError, seconds: float) -> FactoryError:
        if error.retry_after and error.retry_after > self._patience.stop:
            what = f"the teacher asks to wait {error.retry_after:.0f} s"
        else:
            what = f"the teacher has answered nothing for {seconds:.0f} s"
        return EngineError(
            what,
            where=self._where(),
            got=error.message,
            hint=f"try again later, or lower `teacher.concurrency`; {_KEPT}",
        )

    def _where(self) -> str:
        return f"teacher {self._teacher.name}, {self._teacher.endpoint}"


def _clean(reply: Reply) -> Reply:
    """The reply without halves of characters, which no file and no request can hold."""
    if reply.text.isascii() or not _SURROGATES.search(reply.text):
        return reply
    return replace(reply, text=_SURROGATES.sub("\ufffd", reply.text))
