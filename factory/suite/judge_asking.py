"""Asks the judge: many queries at once, each read leniently, asked again once where unreadable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from factory.contracts import Progress, Request, TeacherError
from factory.pairs.calls import Caller
from factory.suite import judge_prompts as prompts
from factory.suite.judge_controls import Query


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the judge thinks of one query."""

    value: float | None
    """1 for yes or for the first answer, 0 for no or for the other, 0.5 for a tie; None: unscored."""
    consistent: bool | None = None
    """Of a pair that was asked: whether both orders gave the same."""


class Asker:
    """Puts queries to the judge; for one event loop.

    Args:
        caller: Pays for each call once.
        description: Of the persona, for style.
        voice: Its traits.
        progress: Told `step` and `total`.
    """

    def __init__(
        self, caller: Caller, description: str, voice: Sequence[str], progress: Progress
    ) -> None:
        self._caller = caller
        self._description = description
        self._voice = tuple(voice)
        self._progress = progress

    async def ask(self, queries: Sequence[Query], sample: int, note: str) -> list[Opinion]:
        """All opinions, in the order of the queries.

        Args:
            queries: What is to be judged.
            sample: Another number asks everything anew, whatever is in the ledger.
            note: Shown while it takes.

        Raises:
            FactoryError: If the judge cannot be asked any more.
        """
        done = 0

        async def one(query: Query) -> Opinion:
            nonlocal done
            opinion = await self._opinion(query, sample)
            done += 1
            self._progress(step=done, total=len(queries), note=note)
            return opinion

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(query)) for query in queries]
        except BaseExceptionGroup as failed:  # the first stopped all others; it is what happened
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def _opinion(self, query: Query, sample: int) -> Opinion:
        answer, other = query.answer.strip(), query.other.strip()
        if query.aspect == "style":
            if not answer or not other or answer == other:  # silence has no voice
                return Opinion(0.5 + 0.5 * (bool(answer) - bool(other)))
            return await self._pair(query, sample)
        if not answer:
            return Opinion(0.0)
        if query.aspect == "relevance":
            request = prompts.relevance_request(query.case, answer, sample)
            return Opinion(await self._read(request, lambda t: prompts.read_relevance(t, answer)))
        request = prompts.accuracy_request(query.case, answer, sample)
        return Opinion(await self._read(request, prompts.read_verdict))

    async def _pair(self, query: Query, sample: int) -> Opinion:
        """Both orders; only what they agree on counts, all else is a tie."""
        orders = ((query.answer, query.other), (query.other, query.answer))
        found = [
            await self._read(
                prompts.style_request(
                    query.case, *order, description=self._description, voice=self._voice,
                    sample=sample,
                ),
                prompts.read_better,
            )
            for order in orders
        ]  # fmt: skip
        first, second = found
        if first is None or second is None:
            return Opinion(None)
        agreed = first == -second
        return Opinion(0.5 + first / 2 if agreed else 0.5, agreed)

    async def _read(self, request: Request, read: Callable[[str], float | None]) -> float | None:
        """What a reply means, after one repair at most; None if it cannot be had (law 8)."""
        try:
            reply = await self._caller.ask(request)
            found = read(reply.text)
            if found is None and reply.text.strip():
                found = read((await self._caller.ask(prompts.repair_request(request, reply))).text)
        except TeacherError:
            return None
        return found
