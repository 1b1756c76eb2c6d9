"""Has a teacher write the pairs of a plan: questions and answers round by round, plain twins meanwhile.

What is asked in a round depends only on what was accepted before it, and answers are judged in the
order of the plan, whatever the order in which they arrive. So a run that was killed asks the same
again, finds what it had paid for in the ledger, and ends with the same pairs.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from factory.contracts import Progress, Reply, Request, TeacherError
from factory.errors import UsageError
from factory.pairs import prompts
from factory.pairs.accept import NO_ROOM, Accepted, Acceptor
from factory.pairs.calls import Caller
from factory.pairs.cells import Cell
from factory.spec import Seed
from factory.teaching import Distill

BARREN = 3
"""Requests for questions in a row that bring nothing new, after which a cell is given up."""

ASKED_AT_ONCE = 12
"""Most questions asked for in one request; more come back alike."""

SPARE = 1.3
"""Questions asked for per answer that is wanted, since some answers are rejected."""

WAVE = 64
"""Cells worked on together; bounds the requests that wait in memory."""

MOST_WAITING = 1024
"""Accepted answers that may wait for their twins; bounds the memory."""

LATER = 1
"""Rank of the twins: nothing waits for them, but the next round for questions and answers."""

_SHOWN = 200
"""Letters kept of a reply that held no question."""

HOPELESS = 20
"""Empty replies before the first accepted answer, after which no more are paid for."""

MORE_ROOM = "raise `distill.max_tokens`; it counts thoughts too, which may take some thousand"
"""Hint where replies came back empty."""

LONGER = 1.5
"""How much longer an answer that hit the limit may be on its second try."""


@dataclass(slots=True)
class Work:
    """How far one cell is."""

    cell: Cell
    limit: int
    """Most answers that may be asked for."""
    waiting: deque[str] = field(default_factory=deque)
    accepted: int = 0
    """Answers that were accepted; a few may yet fall to their twins."""
    kept: int = 0
    tried: int = 0
    asked: int = 0
    barren: int = 0
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=8))
    """The last questions, which the writer is asked not to repeat."""

    @property
    def missing(self) -> int:
        """Pairs still wanted."""
        return self.cell.quota - self.accepted

    @property
    def open(self) -> bool:
        """Whether anything more can be tried."""
        more = bool(self.waiting) or self.barren < BARREN
        return self.missing > 0 and self.tried < self.limit and more


@dataclass(frozen=True, slots=True)
class Pair:
    """One accepted pair."""

    id: str
    cell: Cell
    question: str
    answer: str
    twin: str | None
    date: str
    """Day of the answer, in UTC."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An accepted answer whose plain twin is still awaited."""

    work: Work
    question: str
    answer: str
    date: str
    twin: asyncio.Task[Reply | TeacherError] | None


@dataclass(slots=True)
class Account:
    """What became of every candidate."""

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    works: list[Work] = field(default_factory=list)
    twins_lost: int = 0
    """Pairs that are kept without the plain twin that was asked for."""

    @property
    def shortfall(self) -> list[dict[str, Any]]:
        """Cells that were not filled, with what is missing."""
        return [
            {"cell": w.cell.id, "wanted": w.cell.quota, "accepted": w.accepted, "tried": w.tried}
            for w in self.works
            if w.missing > 0
        ]


@dataclass(frozen=True, slots=True)
class Writer:
    """Works through the cells of a plan.

    Args:
        caller: Asks the teacher and keeps the ledger.
        acceptor: Judges questions and answers.
        config: The persona file's `distill` section.
        prompt: The persona's system prompt.
        seeds: Example pairs.
        language: Two-letter code of the answers.
        keep: Called with every accepted pair, in order.
        note: Called with cell, text, reason and detail of every rejection and every lost twin, in
            order.
        progress: Told how many are accepted.
    """

    caller: Caller
    acceptor: Acceptor
    config: Distill
    prompt: str
    seeds: Sequence[Seed]
    language: str
    keep: Callable[[Pair], None]
    note: Callable[[Cell, str, str, str], None]
    progress: Progress

    async def write(self, cells: Sequence[Cell]) -> Account:
        """Fill every cell, or give it up when its candidates are spent.

        Raises:
            UsageError: If the length limit leaves the teacher no room for answers.
            FactoryError: If it cannot be asked any more.
        """
        tries = self.config.candidates
        account = Account(works=[Work(cell, cell.quota * tries) for cell in cells])
        waiting: deque[Candidate] = deque()
        try:
            async with asyncio.TaskGroup() as calls:
                while needy := [work for work in account.works if work.open]:
                    for start in range(0, len(needy), WAVE):
                        part = needy[start : start + WAVE]
                        waiting.extend(await self._round(part, account, calls))
                        await self._settle(waiting, account, MOST_WAITING)
                    if not any(work.open for work in account.works):
                        await self._settle(waiting, account, 0)  # which may open some again
        except BaseExceptionGroup as failed:  # the first stopped all others; it is what happened
            raise failed.exceptions[0] from None
        return account

    async def _one(self, request: Request, rank: int = 0) -> Reply | TeacherError:
        """The reply, or why this one request got none; other errors end everything."""
        try:
            return await self.caller.ask(request, rank)
        except TeacherError as error:
            return error

    async def _round(
        self, part: Sequence[Work], account: Account, calls: asyncio.TaskGroup
    ) -> list[Candidate]:
        """Questions, then answers; a cell's answers are asked for as soon as its questions are in.

        Returns:
            What was accepted. Its twins are asked for while the next round goes on.
        """
        asked = [(work, self._ask_questions(work, calls)) for work in part]
        taken: list[tuple[Work, str, asyncio.Task[tuple[Request, Reply | TeacherError]]]] = []
        for work, reply in asked:  # judged in order, while later ones are still on their way
            if reply:
                self._judge_questions(work, await reply, account)
            for question in self._take(work):
                request = self._answer_request(work, question)
                taken.append((work, question, calls.create_task(self._answer(request))))
        good: list[Candidate] = []
        for work, question, task in taken:
            request, answer = await task
            if isinstance(answer, TeacherError):
                reason = f"no_answer_{answer.kind}"
                self._reject(account, work.cell, question, reason, answer.message)
                continue
            judged = self.acceptor.answer(question, answer, work.cell)
            if isinstance(judged, Accepted):
                ask = self._roomy(prompts.plain_request(question, sample=0))
                twin = calls.create_task(self._one(ask, LATER)) if self.config.twins else None
                date = self.caller.date(request)
                good.append(Candidate(work, question, judged.text, date, twin))
                work.accepted += 1
                account.accepted += 1
                self.progress(step=account.accepted, total=self.config.pairs)
            else:
                self._reject(account, work.cell, question, judged.reason, judged.detail)
        return good

    def _ask_questions(
        self, work: Work, calls: asyncio.TaskGroup
    ) -> asyncio.Task[Reply | TeacherError] | None:
        """Ask for more questions of a cell, unless enough wait or none come any more."""
        if len(work.waiting) >= work.missing or work.barren >= BARREN:
            return None
        wanted = math.ceil((work.missing - len(work.waiting)) * SPARE) + 1
        request = prompts.questions_request(
            work.cell,
            min(ASKED_AT_ONCE, wanted),
            language=self.language,
            domain=self.config.domain,
            avoid=list(work.recent),
            sample=work.asked,
        )
        work.asked += 1
        return calls.create_task(self._one(self._roomy(request)))

    def _judge_questions(self, work: Work, reply: Reply | TeacherError, account: Account) -> None:
        found = 0
        if isinstance(reply, TeacherError):
            self._reject(account, work.cell, "", f"no_answer_{reply.kind}", reply.message)
        else:
            questions = prompts.parse_questions(reply)
            if not questions and not reply.text.strip():
                self._reject(account, work.cell, "", NO_ROOM, _cut_off(reply))
            elif not questions:
                self._reject(account, work.cell, "", "no_questions", reply.text[:_SHOWN])
            for text in questions:
                reason = self.acceptor.question(text, work.cell)
                if reason:
                    self._reject(account, work.cell, text, f"question_{reason}", "")
                    continue
                work.waiting.append(text)
                work.recent.append(text)
                found += 1
        work.barren = 0 if found else work.barren + 1

    def _answer_request(self, work: Work, question: str) -> Request:
        examples = prompts.choose_examples(self.seeds, question, work.tried)
        request = prompts.answer_request(
            question,
            work.cell,
            persona_prompt=self.prompt,
            examples=examples[: self.config.examples],
            sample=0,
        )
        return replace(
            request,
            temperature=self.config.temperature,
            max_tokens=self.config.max_tokens or request.max_tokens,
        )

    def _roomy(self, request: Request) -> Request:
        """The request with room for the thoughts that answers are given room for."""
        return replace(request, max_tokens=max(request.max_tokens, self.config.max_tokens or 0))

    def _take(self, work: Work) -> Iterator[str]:
        for _ in range(min(work.missing, work.limit - work.tried, len(work.waiting))):
            work.tried += 1
            yield work.waiting.popleft()

    async def _answer(self, request: Request) -> tuple[Request, Reply | TeacherError]:
        """The answer, and to what; asked for once more, with more room, if the limit cut it off."""
        reply = await self._one(request)
        if isinstance(reply, Reply) and reply.finish_reason == "length":
            request = replace(request, max_tokens=round(request.max_tokens * LONGER))
            reply = await self._one(request)
        return request, reply

    async def _settle(self, waiting: deque[Candidate], account: Account, most: int) -> None:
        """Keep the oldest candidates, if their twins allow it, until at most so many wait."""
        while len(waiting) > most:
            found = waiting.popleft()
            work, plain = found.work, await self._plain(found, account)
            reason = None
            if plain is not None:
                reason = self.acceptor.twin(found.question, found.answer, plain)
            if reason:
                work.accepted -= 1
                account.accepted -= 1
                self._reject(account, work.cell, found.question, reason, found.answer)
                continue
            work.kept += 1
            name = f"distill:{work.cell.id}#{work.kept}"
            self.keep(Pair(name, work.cell, found.question, found.answer, plain, found.date))

    async def _plain(self, found: Candidate, account: Account) -> str | None:
        """The text of the plain twin; one that was asked for and did not come is counted."""
        reply = await found.twin if found.twin else None
        if reply is None:
            return None
        if isinstance(reply, Reply) and reply.text.strip():
            return reply.text
        account.twins_lost += 1
        if isinstance(reply, TeacherError):
            reason, detail = f"no_twin_{reply.kind}", reply.message
        else:
            reason, detail = f"no_twin_{NO_ROOM}", _cut_off(reply)
        self.note(found.work.cell, found.question, reason, detail)
        return None

    def _reject(self, account: Account, cell: Cell, text: str, reason: str, detail: str) -> None:
        account.rejected[reason] += 1
        self.note(cell, text, reason, detail)
        hopeless = account.rejected[NO_ROOM] >= HOPELESS and not account.accepted
        if reason == NO_ROOM and hopeless:
            raise UsageError(
                "the length limit leaves the teacher no room for answers: it may spend it on thoughts",
                where="distill.max_tokens",
                got=f"{HOPELESS} empty replies and not one pair; the last was {detail}",
                hint=MORE_ROOM,
            )


def _cut_off(reply: Reply) -> str:
    return f"stopped by the limit after {reply.token_count} tokens"
