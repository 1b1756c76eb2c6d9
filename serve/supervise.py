"""Keeps an endpoint's engines as they should be: alive, on the promoted release, within the memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from factory.contracts import Endpoint
from factory.releases import promoted
from serve.berths import LAST_WORDS, Berth, Berths
from serve.fleet import Fleet, Seat, healthy
from serve.launch import Group, Launcher
from serve.memory import Memory
from serve.releases import Admission
from serve.served import Served

log = logging.getLogger("serve")

LOOK = 0.5
"""Seconds between two looks at the pointers, and at the engines."""
MISSES = 6
"""Looks in a row that an engine may leave unanswered (each waits 2 s, or 5 s for a token) before it counts
as hung."""
LONGEST_BACK_OFF = 60.0
"""Seconds between two attempts to start an engine that does not start."""


class Supervisor:
    """Owns the engines behind a fleet.

    Started before there is an event loop, so that what cannot start is an error of the command; then an
    asynchronous context manager beside the app.

    Args:
        root: `$FACTORY_HOME`.
        launcher: Starts engines.
        budget: Bytes of memory that engines may need together; None for no limit. With a limit they are
            loaded when they are asked for, and the one that was not used for longest makes room.
        idle: Seconds after which an engine that nobody asks for is unloaded; None for never.
        allow_ungated: Whether promoted releases without a PASS scorecard may take over.
    """

    def __init__(
        self,
        root: Path,
        launcher: Launcher,
        *,
        budget: float | None = None,
        idle: float | None = None,
        allow_ungated: bool = False,
    ) -> None:
        self.root, self.launcher, self.idle = root, launcher, idle
        self.memory = Memory(budget)
        self.berths = Berths(root, launcher, self.memory, allow_ungated=allow_ungated)

    @property
    def fleet(self) -> Fleet:
        """Which release answers under each name."""
        return self.berths.fleet

    def start(self, refs: Sequence[str], admissions: Sequence[Admission]) -> None:
        """Start an engine for every release, as far as the memory goes; the rest waits to be asked for.

        Args:
            refs: What the operator asked for, NAME or NAME@N.
            admissions: What each of them is now.

        Raises:
            EngineError: As `Launcher.launch`, or if one needs more memory than there is.
        """
        asked = {ref.partition("@")[0]: ref for ref in refs}
        groups = self.launcher.groups(admissions)
        self.memory.parts = len(groups)
        for members in groups:
            need = self.launcher.need(members)
            self.memory.require(members, need)
            running: dict[str, tuple[Served, Endpoint]] = {}
            group: Group | None = None
            if self.memory.fits(need):
                group, running = self.launcher.launch(members, self.memory.share)
                self.memory.groups.append(group)
            for one in members:
                seat = Seat(*running[one.ref]) if running else None
                served = seat.served if seat else self.launcher.facts(one)
                berth = self.berths.place(asked[one.facts["name"]], one, served, seat)
                berth.group = group

    def end(self) -> None:
        """Stop every engine."""
        self.memory.end()

    async def __aenter__(self) -> Self:
        self.berths.spawn(self._every(self._follow))
        self.berths.spawn(self._every(self._watch))
        return self

    async def __aexit__(self, *error: object) -> None:
        self.launcher.stopping.set()  # an engine that is being started in a thread gives up
        tasks = list(self.berths.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _every(self, look: Callable[[], Awaitable[None]]) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await look()
            except (
                Exception
            ):  # the next look may fare better; the endpoint must not lose its keeper
                log.exception("looking after the engines failed")

    # --- promotions ----------------------------------------------------------------------------

    async def _follow(self) -> None:
        for name, berth in self.berths.names.items():
            if "@" not in berth.asked:
                try:
                    await self._follow_one(name, berth)
                except Exception:  # a damaged pointer of one name is no reason to forget the others
                    log.exception("following the promotions of %s failed", name)

    async def _follow_one(self, name: str, berth: Berth) -> None:
        number = await asyncio.to_thread(promoted, self.root, name)
        if number != berth.failed:
            berth.failed = None
        if number in (None, berth.admission.facts["number"], berth.failed):
            return
        async with self.berths.moving:
            await self.berths.swap(name, number)

    # --- engines that fall over, or that nobody asks for ----------------------------------------

    async def _watch(self) -> None:
        for group in list(self.memory.groups):
            if await self._lost(group):
                await self._replace(group)
        if self.idle is None:
            return
        while found := self.berths.unused(time.monotonic() - self.idle):
            async with self.berths.moving:
                if found[0] in self.berths.unused(time.monotonic() - self.idle):
                    await self.berths.unload(found[0])

    async def _lost(self, group: Group) -> bool:
        """Whether an engine has ended, or has not answered for a while."""
        seats = self.berths.seats(group)
        if not seats:
            return False
        dead = group.ended()
        group.missed = 0 if not dead and await self._answers(group, seats) else group.missed + 1
        return dead or group.missed >= MISSES

    async def _answers(self, group: Group, seats: Sequence[Seat]) -> bool:
        """Whether an engine says that it is well and, where that can be told, generates.

        Of one that gives one answer at a time, a long answer cannot be told from none.
        """
        if not await healthy(seats[0]):
            return False
        if not getattr(group.engine, "batches", False) or not all(s.quiet() for s in seats):
            return True
        return await self.fleet.generates(seats[0])

    async def _replace(self, group: Group) -> None:
        """Take the names of a lost engine out of service, and start it again beside everything else."""
        async with self.berths.moving:
            if group not in self.memory.groups:
                return
            berths, seats = self.berths.of(group), self.berths.seats(group)
            self.berths.tell(
                f"the engine of {', '.join(b.admission.ref for b in berths)} is gone;"
                " starting it again"
            )
            for berth in berths:
                post = self.berths.post(berth)
                post.seat, berth.group = None, None
                post.problem, post.wake = "is being started again", None
            leaving = self.berths.leaving
            self.berths.leaving = {r: one for r, one in leaving.items() if one[1] is not group}
            for seat in seats:
                self.berths.spawn(self._farewell(seat))
            try:
                await self.berths.ended(group)
            except Exception:  # it is out of the list, and what is left of it cannot be helped
                log.exception("stopping the lost engine failed")
        self.berths.spawn(self._start_again(berths))

    async def _farewell(self, seat: Seat) -> None:
        """Close connections after the last answer: a server elsewhere may well finish it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(seat.empty.wait(), LAST_WORDS)
        await self.fleet.disconnect(seat)

    async def _start_again(self, berths: Sequence[Berth]) -> None:
        pause = 1.0
        while down := [b for b in berths if self.berths.post(b).seat is None]:
            name = down[0].admission.facts["name"]
            try:
                async with self.berths.moving:
                    await self.berths.load(name)
                self.berths.tell(f"{down[0].admission.ref} answers again")
                pause = 1.0
            except Exception as error:
                log.warning("%s: %s; next attempt in %.0f s", name, error, pause)
                berths = [*(b for b in berths if b is not down[0]), down[0]]  # the others' turn
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_BACK_OFF)
