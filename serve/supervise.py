"""Keeps a fleet's engines as they should be: started, alive, on the promoted release, within the memory.

Seats are moved under live traffic. A new release is started and proven beside the old one; then the name
means the new one, and the old one ends with its last answer. Where the declared memory does not hold both,
requests wait while the old one ends and the new one starts; nothing is refused or broken off either way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from factory.contracts import Endpoint
from factory.errors import EngineError, FactoryError
from factory.releases import promoted
from serve.fleet import Fleet, Post, Seat, healthy
from serve.launch import Group, Launcher
from serve.memory import Memory
from serve.protocol import ApiError
from serve.releases import Admission, admit, find
from serve.served import Served

log = logging.getLogger("serve")

LOOK = 0.5
"""Seconds between two looks at the pointers and the engines."""
MISSES = 6
"""Looks in a row that an engine may leave unanswered (each waits 2 s) before it counts as hung."""
LONGEST_BACK_OFF = 60.0
"""Seconds between two attempts to start an engine that does not start."""
LAST_WORDS = 600.0
"""Seconds that answers of a release may take after another one has taken its name."""


@dataclass(slots=True, eq=False)
class Berth:
    """What answers for one name, seen from the engine's side."""

    asked: str
    """NAME, which follows promotions, or NAME@N, which does not."""
    admission: Admission
    served: Served
    group: Group | None = None
    failed: int | None = None
    """Number of a promoted release that could not be started."""


class Supervisor:
    """Owns the engines behind a fleet.

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
        self.root, self.launcher = root, launcher
        self.memory, self.idle, self.allow_ungated = Memory(budget), idle, allow_ungated
        self.fleet = Fleet({})
        self.berths: dict[str, Berth] = {}
        self.misses: dict[int, int] = {}
        self.moving = asyncio.Lock()
        self.tasks: set[asyncio.Task[None]] = set()

    # --- before there is an event loop ---------------------------------------------------------

    def start(self, refs: Sequence[str], admissions: Sequence[Admission]) -> Fleet:
        """Start an engine for every release, as far as the memory goes; the rest waits to be asked for.

        Args:
            refs: What the operator asked for, NAME or NAME@N.
            admissions: What each of them is now.

        Raises:
            EngineError: As `Launcher.launch`.
        """
        asked = {ref.partition("@")[0]: ref for ref in refs}
        groups = self.launcher.groups(admissions)
        for members in groups:
            need = self.launcher.need(members)
            self.memory.require(members, need)
            running: dict[str, tuple[Served, Endpoint]] = {}
            group: Group | None = None
            if self.memory.fits(need):
                group, running = self.launcher.launch(members, share=1 / len(groups))
                self.memory.groups.append(group)
            for one in members:
                name = one.facts["name"]
                served, endpoint = running.get(one.ref) or (self.launcher.facts(one), None)
                self.berths[name] = Berth(asked[name], one, served, group)
                post = Post(served, Seat(served, endpoint) if endpoint else None)
                if endpoint is None:
                    self._sleeping(name, post)
                self.fleet.posts[name] = post
        return self.fleet

    def end(self) -> None:
        """Stop every engine."""
        self.memory.end()

    # --- beside the app ------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self._spawn(self._look_after())
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _look_after(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self._look()
            except (
                Exception
            ):  # the next look may fare better; the endpoint must not lose its keeper
                log.exception("looking after the engines failed")

    async def _look(self) -> None:
        for name, berth in list(self.berths.items()):
            if "@" in berth.asked:
                continue
            number = await asyncio.to_thread(promoted, self.root, name)
            if number not in (None, berth.admission.facts["number"], berth.failed):
                async with self.moving:
                    await self._swap(name, int(number or 0))
        for group in list(self.memory.groups):
            if await self._lost(group):
                self._spawn(self._restart(group))
        if self.idle is not None:
            async with self.moving:
                for group in self._unused(time.monotonic() - self.idle):
                    await self._unload(group)

    # --- moving seats; the caller holds `moving` ------------------------------------------------

    async def _swap(self, name: str, number: int) -> None:
        berth, post = self.berths[name], self.fleet.posts[name]
        before = berth.admission.ref
        try:
            admission = await asyncio.to_thread(self._admitted, f"{name}@{number}")
            if post.seat is None:  # asleep: it wakes up as the new one
                berth.admission, berth.served = admission, self.launcher.facts(admission)
                post.served = berth.served
                return
            both = berth.group is not None and berth.group.takes(admission)
            if not both and not await self._make_room(self.launcher.need([admission]), keep=name):
                await self._unload(_of(berth.group))
                berth.admission = admission
                await self._load(name)
                return
            seat, group = await self._seated(admission, berth.group if both else None)
        except (FactoryError, ApiError) as error:
            berth.failed = number
            self._tell(
                f"{name}@{number} was promoted and cannot be served; {before} stays: {error}"
            )
            return
        old_seat, old_group, old = post.seat, berth.group, berth.admission
        berth.admission, berth.served, berth.group = admission, seat.served, group
        post.served, post.seat = seat.served, seat
        self._tell(f"{admission.ref} answers now; {before} finishes what it began")
        if old_seat is not None and old_group is not None:
            self._spawn(self._retire(old_seat, old_group, old))

    async def _seated(self, admission: Admission, shared: Group | None) -> tuple[Seat, Group]:
        if shared is not None:
            group = shared
            seat = Seat(*await asyncio.to_thread(self.launcher.join, group, admission))
        else:
            group, running = await asyncio.to_thread(self.launcher.launch, [admission])
            self.memory.groups.append(group)
            seat = Seat(*running[admission.ref])
        await self.fleet.connect(seat)
        return seat, group

    async def _retire(self, seat: Seat, group: Group, admission: Admission) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(seat.empty.wait(), LAST_WORDS)
        await self.fleet.disconnect(seat)
        if group.base is not None and group in self.memory.groups:
            await asyncio.to_thread(self.launcher.leave, group, admission)
        if group.base is None or not group.members:
            await self._ended(group)

    async def _load(self, name: str) -> None:
        """Start what answers for a name that sleeps.

        Raises:
            ApiError: 503 if it does not start, or if nothing idle can make room.
        """
        berth, post = self.berths[name], self.fleet.posts[name]
        together = [b for b in self.berths.values() if b.group is None and self._mates(b, berth)]
        members = [b.admission for b in together]
        if not await self._make_room(self.launcher.need(members), keep=name):
            raise _unavailable(f"{name} has to wait: other models are busy and the memory is full")
        try:
            group, running = await asyncio.to_thread(self.launcher.launch, members)
        except EngineError as error:
            self._tell(f"{berth.admission.ref} does not start: {error}")
            raise _unavailable(f"{name} does not start") from error
        self.memory.groups.append(group)
        for one in together:
            await self._take_seat(one, group, *running[one.admission.ref])
        assert post.seat is not None

    async def _take_seat(
        self, berth: Berth, group: Group, served: Served, endpoint: Endpoint
    ) -> None:
        post = self.fleet.posts[served.name]
        seat = Seat(served, endpoint)
        await self.fleet.connect(seat)
        berth.group, berth.served = group, served
        post.served, post.seat, post.wake = served, seat, None

    async def _unload(self, group: Group) -> None:
        """End an engine after its last answer; its names sleep until they are asked for."""
        seats = []
        for name, berth in self.berths.items():
            if berth.group is group:
                post = self.fleet.posts[name]
                seats.append(post.seat)
                post.seat, berth.group = None, None
                self._sleeping(name, post)
        for seat in filter(None, seats):
            await seat.empty.wait()
            await self.fleet.disconnect(seat)
        await self._ended(group)
        self._tell(f"unloaded {', '.join(group.members)}")

    async def _make_room(self, need: float, keep: str) -> bool:
        """Unload idle engines, longest unused first, until so many bytes are free; whether they are."""
        while not self.memory.fits(need):
            others = [g for g in self._unused(time.monotonic()) if g is not self.berths[keep].group]
            if not others:
                return False
            await self._unload(others[0])
        return True

    async def _ended(self, group: Group) -> None:
        if group in self.memory.groups:
            self.memory.groups.remove(group)
            await asyncio.to_thread(group.end)

    # --- engines that fall over ----------------------------------------------------------------

    async def _lost(self, group: Group) -> bool:
        """Whether an engine has ended, or has not answered for a while."""
        seats = [self.fleet.posts[n].seat for n, b in self.berths.items() if b.group is group]
        seat = next(filter(None, seats), None)
        if seat is None:
            return False
        dead = group.ended()
        missed = 0 if not dead and await healthy(seat) else self.misses.get(id(group), 0) + 1
        self.misses[id(group)] = missed
        return dead or missed >= MISSES

    async def _restart(self, group: Group) -> None:
        async with self.moving:
            if group not in self.memory.groups:
                return
            berths = [b for b in self.berths.values() if b.group is group]
            names = ", ".join(b.admission.ref for b in berths)
            self._tell(f"the engine of {names} is gone; starting it again")
            for berth in berths:
                post = self.fleet.posts[berth.served.name]
                seat, post.seat, berth.group = post.seat, None, None
                post.problem, post.wake = "is being started again", None
                if seat is not None:
                    self._spawn(self.fleet.disconnect(seat))
            await self._ended(group)
        pause = 1.0
        while True:
            async with self.moving:
                try:
                    await self._load(berths[0].served.name)
                    self._tell(f"{names} answers again")
                    return
                except ApiError:
                    log.warning("next attempt in %.0f s", pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_BACK_OFF)

    # --- small questions -----------------------------------------------------------------------

    def _admitted(self, ref: str) -> Admission:
        return admit(find(self.root, ref), allow_ungated=self.allow_ungated)

    def _mates(self, one: Berth, other: Berth) -> bool:
        """Whether two names go into one engine."""
        if one is other:
            return True
        return len(self.launcher.groups([one.admission, other.admission])) == 1

    def _unused(self, since: float) -> list[Group]:
        """Engines without any lease that were last used before this moment, longest unused first."""
        found = []
        for group in self.memory.groups:
            seats = [self.fleet.posts[n].seat for n, b in self.berths.items() if b.group is group]
            used = max((s.used for s in seats if s is not None), default=float("inf"))
            if all(s is not None and not s.leases for s in seats) and used <= since:
                found.append((used, group))
        return [group for _, group in sorted(found, key=lambda pair: pair[0])]

    def _sleeping(self, name: str, post: Post) -> None:
        async def wake() -> None:
            async with self.moving:
                if post.seat is None:
                    await self._load(name)

        post.problem, post.wake = "is not loaded", wake

    def _tell(self, line: str) -> None:
        log.warning("%s", line)
        self.launcher.announce(line)


def _of(group: Group | None) -> Group:
    assert group is not None, "a seat has an engine"
    return group


def _unavailable(message: str) -> ApiError:
    return ApiError(503, message, code="engine_unavailable", headers={"retry-after": "5"})
