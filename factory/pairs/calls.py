"""Asks a teacher: each question once, within the budget, at a pace the endpoint bears."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from factory.contracts import Progress, Reply, Request, Teacher, TeacherError
from factory.errors import FactoryError
from factory.pairs import ledger as paid
from factory.pairs.budget import Budget, BudgetExhausted, Hold
from factory.pairs.failures import EmptyAnswer, Failures, Patience
from factory.pairs.ledger import Ledger, Spent
from factory.pairs.pace import Pace
from factory.rows.repair import whole

LANDING = 30.0
"""Seconds that calls in flight may still take when no other is sent any more: they may be paid for."""


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
        patience: Patience | None = None,
    ) -> None:
        patience = patience or Patience()
        self._teacher = teacher
        self._ledger = ledger
        self._budget = budget
        self._version = template_version
        self._pace = Pace(concurrency, patience.pause)
        where = f"teacher {teacher.name}, {teacher.endpoint}"
        self._failures = Failures(where, self._pace, patience, progress)
        self._keys: set[str] = set()
        self._flying: dict[str, asyncio.Future[Reply]] = {}
        self._settled = asyncio.Event()
        self._in_flight = 0
        self._landed = asyncio.Event()
        self._name = f"{teacher.endpoint} {teacher.model}"
        self._facts = ledger.facts(self._name)
        self._learning = teacher if isinstance(teacher, Learning) else None
        if self._facts and self._learning:
            self._learning.facts = {**(self._learning.facts or {}), **self._facts}

    def key(self, request: Request) -> str:
        """The ledger's key of a question."""
        return paid.key(self._teacher.endpoint, self._teacher.model, request, self._version)

    def date(self, request: Request) -> str:
        """The day, in UTC, on which a question that was answered had first been sent."""
        return (self._ledger.date(self.key(request)) or "")[:10]

    def spent(self) -> Spent:
        """What everything that was asked here has cost, in this run and before."""
        return self._ledger.spent(self._keys)

    async def ask(self, request: Request, rank: int = 0) -> Reply:
        """The answer to a question: from the ledger, from a call in flight, or paid for now.

        Its text is empty where thoughts alone reached the length limit.

        Args:
            request: The question.
            rank: Of those that wait for a place, the lower ones go first.

        Raises:
            TeacherError: If this one question got no answer (`refused`, or `overloaded` at every
                try); others may still, until `GIVEN_UP` of them got none.
            BudgetExhausted: If it might pass a ceiling.
            FactoryError: If no question can be answered any more, with the endpoint's own words; the
                answers to calls in flight are in the ledger by then.
        """
        try:
            return await self._found(request, rank)
        except FactoryError:
            await self._land()
            raise

    async def _found(self, request: Request, rank: int) -> Reply:
        key = self.key(request)
        while True:
            if reply := self._known(key):
                return reply
            flying = self._flying.get(key)
            if flying is None:
                return await self._answer(key, request, rank)
            await asyncio.wait({flying})
            if not flying.cancelled():
                return flying.result()

    def _known(self, key: str) -> Reply | None:
        reply, spent = self._ledger.look(key)
        if key not in self._keys:
            self._keys.add(key)
            self._budget.count(spent)
        return reply

    async def _answer(self, key: str, request: Request, rank: int) -> Reply:
        """Pay for an answer that others may wait for, too."""
        future = asyncio.get_running_loop().create_future()
        self._flying[key] = future
        try:
            reply = await self._pay(key, request, rank)
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

    async def _pay(self, key: str, request: Request, rank: int) -> Reply:
        tries = 0
        while True:
            entered = await self._pace.enter(rank)
            try:
                hold = await self._reserve(request)
                try:
                    return await self._send(key, request, hold)
                except TeacherError as error:
                    tries += error.kind != "rate_limit"
                    wait = self._failures.met(error, tries, entered)
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
                self._pace.check()

    async def _send(self, key: str, request: Request, hold: Hold) -> Reply:
        """Send a call once; the ledger and the budget know its end, however it comes."""
        teacher = self._teacher
        self._in_flight += 1
        try:
            self._ledger.begin(key, endpoint=teacher.endpoint, model=teacher.model, request=request)
            reply = _clean(await teacher.reply(request))
            # cut off before it began: the same question would end in the same way
            if not reply.text.strip() and reply.finish_reason != "length":
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
        finally:
            self._in_flight -= 1
            self._landed.set()
        self._ledger.done(key, reply, self._settle(hold, reply))
        self._succeeded()
        return reply

    async def _land(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(LANDING):
                while self._in_flight:
                    self._landed.clear()
                    await self._landed.wait()

    def _settle(self, hold: Hold, charged: Reply | None) -> float | None:
        self._settled.set()
        return self._budget.settle(hold, charged)

    def _succeeded(self) -> None:
        self._pace.succeeded()
        self._failures.over()
        learned = self._learning.facts if self._learning else None
        if learned and learned != self._facts:
            self._facts = dict(learned)
            self._ledger.remember(self._name, self._facts)


def _clean(reply: Reply) -> Reply:
    """The reply without halves of characters."""
    return replace(reply, text=whole(reply.text))
