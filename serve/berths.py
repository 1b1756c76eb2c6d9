"""Moves releases in and out of engines under live traffic: load, unload, swap, and the last words of the old.

Whoever calls holds `moving`, so that two moves never cross; answers go on meanwhile. What is promoted is
started and proven beside what answers now; then the name means the new one, and the old one ends with its
last answer, or takes over again in an instant if it is called back before that. Where both do not fit,
requests wait while the old one ends and the new one starts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from factory.contracts import Endpoint
from serve.fleet import Fleet, Post, Seat
from serve.launch import Group, Launcher
from serve.memory import Memory
from serve.protocol import ApiError
from serve.releases import Admission, admit, find
from serve.served import Served

log = logging.getLogger("serve")

LAST_WORDS = 600.0
"""Seconds that answers of a release may take after another one has taken its name."""
LAST_WORDS_ALONE = 60.0
"""The same where the new release waits for the memory of the old one, and requests wait with it."""
NOT_AT_ONCE = 10.0
"""Seconds until a release that did not start is tried again because it was asked for."""


@dataclass(slots=True, eq=False)
class Berth:
    """What answers for one name, seen from the engine's side."""

    asked: str
    """NAME, which follows promotions, or NAME@N, which does not."""
    admission: Admission
    group: Group | None = None
    fallback: Admission | None = None
    """What answered last, until the new one has shown that it starts."""
    failed: int | None = None
    """A promoted release that could not be served; it is left alone until the name has moved."""
    retry_at: float = 0.0
    waking: asyncio.Task[None] | None = None


class Berths:
    """The names of an endpoint and their engines.

    Args:
        root: `$FACTORY_HOME`.
        launcher: Starts engines.
        memory: Which engines run.
        allow_ungated: Whether promoted releases without a PASS scorecard may take over.
    """

    def __init__(
        self, root: Path, launcher: Launcher, memory: Memory, *, allow_ungated: bool
    ) -> None:
        self.root, self.launcher, self.memory = root, launcher, memory
        self.allow_ungated = allow_ungated
        self.fleet = Fleet({})
        self.names: dict[str, Berth] = {}
        self.leaving: dict[str, tuple[Seat, Group]] = {}
        """Releases that finish what they began, by NAME@N."""
        self.moving = asyncio.Lock()
        self.tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside everything else until the endpoint ends."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def tell(self, line: str) -> None:
        """Say something to the operator."""
        log.warning("%s", line)
        self.launcher.announce(line)

    def place(self, ref: str, admission: Admission, served: Served, seat: Seat | None) -> Berth:
        """Give a release its name, before anything runs."""
        name = admission.facts["name"]
        berth = self.names[name] = Berth(ref, admission)
        post = self.fleet.posts[name] = Post(served, seat)
        if seat is None:
            self.sleep(name, post)
        return berth

    def of(self, group: Group) -> list[Berth]:
        """The names that an engine answers for."""
        return [berth for berth in self.names.values() if berth.group is group]

    def seats(self, group: Group) -> list[Seat]:
        """An engine's seats, with those that are leaving."""
        now = [self.post(berth).seat for berth in self.of(group)]
        return [*filter(None, now), *(seat for seat, g in self.leaving.values() if g is group)]

    def post(self, berth: Berth) -> Post:
        """The public side of a berth."""
        return self.fleet.posts[berth.admission.facts["name"]]

    # --- swap ----------------------------------------------------------------------------------

    async def swap(self, name: str, number: int) -> None:
        """Let a name mean another release; if that cannot be served, what answers now stays."""
        berth, post = self.names[name], self.fleet.posts[name]
        stays = berth.admission.ref
        try:
            admission = await asyncio.to_thread(self._admitted, f"{name}@{number}")
            self.memory.require([admission], self.launcher.need([admission]))
            if post.seat is None or not await self._beside(berth, admission):
                await self._instead(berth, admission)
        except Exception as error:  # whatever it is, the name keeps what it has
            berth.failed = number
            self.tell(f"{name}@{number} was promoted and cannot be served; {stays} stays: {error}")

    async def _beside(self, berth: Berth, admission: Admission) -> bool:
        """Start the new release beside the old one and switch; False if there is no room for both."""
        name, old, old_group = admission.facts["name"], berth.admission, berth.group
        back = self.leaving.get(admission.ref)
        if back is not None and back[1] in self.memory.groups and back[0].client is not None:
            del self.leaving[admission.ref]  # it has not left yet: it is simply called back
            seat, group = back
        elif old_group is not None and old_group.takes(admission):
            group = old_group
            seat = Seat(*await asyncio.to_thread(self.launcher.join, group, admission))
            await self.fleet.connect(seat)
        else:
            need = self.launcher.need([admission])
            if self.launcher.fills(admission) or not await self.make_room(need, keep=name):
                return False
            share = self.memory.share
            group, running = await asyncio.to_thread(self.launcher.launch, [admission], share)
            self.memory.groups.append(group)
            seat = Seat(*running[admission.ref])
            await self.fleet.connect(seat)
        post = self.fleet.posts[name]
        old_seat, post.served, post.seat = post.seat, seat.served, seat
        berth.admission, berth.group = admission, group
        self.tell(f"{admission.ref} answers now; {old.ref} finishes what it began")
        if old_seat is not None and old_group is not None:
            self.leaving[old.ref] = (old_seat, old_group)
            self.spawn(self._retire(old_seat, old_group, old))
        return True

    async def _instead(self, berth: Berth, admission: Admission) -> None:
        """Let the old release end first; it comes back if the new one does not start."""
        if self.launcher.fills(admission):  # those it shared an engine with need one, too
            engines = await asyncio.to_thread(self._engines, berth, admission)
            self.memory.require_part(admission, engines)
        name, awake = admission.facts["name"], berth.group is not None
        if berth.group is not None:
            await self.unload(berth.group)
        post = self.fleet.posts[name]
        served = await asyncio.to_thread(self.launcher.facts, admission)
        # What was promoted while the name slept has not answered yet: nothing falls back to that.
        last = berth.fallback or berth.admission
        berth.fallback = None if last.ref == admission.ref else last
        berth.admission, post.served = admission, served
        if awake:
            await self.load(name)

    async def _retire(self, seat: Seat, group: Group, admission: Admission) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(seat.empty.wait(), LAST_WORDS)
        async with self.moving:
            if self.leaving.get(admission.ref, (None,))[0] is not seat:
                return  # called back
            del self.leaving[admission.ref]
            await self.fleet.disconnect(seat)
            if group.base is not None and group in self.memory.groups:
                try:
                    await asyncio.to_thread(self.launcher.leave, group, admission)
                except Exception as error:  # an engine that is gone has forgotten it anyway
                    log.warning("%s: %s", admission.ref, error)
            if not self.of(group) and not self.seats(group):
                await self.ended(group)

    # --- load and unload -----------------------------------------------------------------------

    async def load(self, name: str) -> None:
        """Start what answers for a name that sleeps, with everybody it shares an engine with.

        Raises:
            ApiError: 503 if it does not start, if it is no longer what passed the gate, or if nothing
                idle can make room.
        """
        if self.fleet.posts[name].seat is not None:
            return
        berth = self.names[name]
        together = await asyncio.to_thread(self._together, berth)
        together = [one for one in together if await self._still_admitted(one)]
        if berth not in together:
            if await self._fall_back([berth]):
                return await self.load(name)
            raise unavailable(f"{name} cannot be served")
        members = [one.admission for one in together]
        need = self.launcher.need(members)
        if not await self.make_room(need, keep=name) and self.memory.holds(need):
            raise unavailable(f"{name} has to wait: other models are busy and the memory is full")
        try:
            self.memory.require(members, need)
            share = self.memory.share
            group, running = await asyncio.to_thread(self.launcher.launch, members, share)
        except Exception as error:  # an engine can fail in many ways, and the next attempt may not
            self.tell(f"{', '.join(a.ref for a in members)} does not start: {error}")
            if await self._fall_back(together):
                return await self.load(name)
            raise unavailable(f"{name} does not start") from error
        self.memory.groups.append(group)
        for one in together:
            await self._seat(one, group, *running[one.admission.ref])

    async def _still_admitted(self, berth: Berth) -> bool:
        """Look at the files again: what starts now may have been altered since they were tested."""
        ref = berth.admission.ref
        try:
            berth.admission = await asyncio.to_thread(self._admitted, ref)
        except Exception as error:  # a folder can be damaged in many ways
            self.tell(f"{ref} cannot be served: {error}")
            return False
        return True

    async def _seat(self, berth: Berth, group: Group, served: Served, endpoint: Endpoint) -> None:
        post = self.fleet.posts[served.name]
        seat = Seat(served, endpoint)
        await self.fleet.connect(seat)
        berth.group, berth.fallback = group, None
        post.served, post.seat, post.wake = served, seat, None

    async def _fall_back(self, berths: Sequence[Berth]) -> bool:
        """Give names whose new release does not start their old one; whether there were any."""
        changed = [berth for berth in berths if berth.fallback is not None]
        for berth in changed:
            berth.failed = int(berth.admission.facts["number"])
            assert berth.fallback is not None
            self.tell(f"{berth.admission.ref} cannot be served; {berth.fallback.ref} is back")
            berth.admission, berth.fallback = berth.fallback, None
            served = await asyncio.to_thread(self.launcher.facts, berth.admission)
            self.post(berth).served = served
        return bool(changed)

    async def unload(self, group: Group) -> None:
        """End an engine after its last answers; its names sleep until they are asked for."""
        seats = self.seats(group)
        told = ", ".join(berth.admission.ref for berth in self.of(group))
        for berth in self.of(group):
            post = self.post(berth)
            post.seat, berth.group = None, None
            self.sleep(berth.admission.facts["name"], post)
        self.leaving = {ref: one for ref, one in self.leaving.items() if one[1] is not group}
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_ALONE):
                for seat in seats:
                    await seat.empty.wait()
        for seat in seats:
            await self.fleet.disconnect(seat)
        await self.ended(group)
        self.tell(f"unloaded {told}")

    async def make_room(self, need: float, keep: str) -> bool:
        """Unload idle engines, longest unused first, until so many bytes are free; whether they are."""
        if not self.memory.holds(need):
            return False  # whoever was unloaded would be so in vain
        while not self.memory.fits(need):
            others = [g for g in self.unused(time.monotonic()) if g is not self.names[keep].group]
            if not others:
                return False
            await self.unload(others[0])
        return True

    def unused(self, since: float) -> list[Group]:
        """Engines without any lease that were last used before this moment, longest unused first."""
        found = []
        for group in self.memory.groups:
            seats = self.seats(group)
            used = max((seat.used for seat in seats), default=float("inf"))
            if not any(seat.leases for seat in seats) and used <= since:
                found.append((used, group))
        return [group for _, group in sorted(found, key=lambda pair: pair[0])]

    async def ended(self, group: Group) -> None:
        """Stop an engine; harmless the second time."""
        if group in self.memory.groups:
            self.memory.groups.remove(group)
            await asyncio.to_thread(group.end)

    def sleep(self, name: str, post: Post) -> None:
        """Let a name be loaded by the next request; all requests that wait share one attempt."""
        berth = self.names[name]

        async def attempt() -> None:
            async with self.moving:
                try:
                    await self.load(name)
                except Exception as error:  # whatever it is, clients are asked to come back
                    berth.retry_at = time.monotonic() + NOT_AT_ONCE
                    if isinstance(error, ApiError):
                        raise
                    self.tell(f"{name} cannot be loaded: {error}")
                    raise unavailable(f"{name} does not start") from error

        async def wake() -> None:
            if berth.waking is None or berth.waking.done():
                if time.monotonic() < berth.retry_at:
                    raise unavailable(f"{name} does not start")
                berth.waking = self.spawn(attempt())
            await asyncio.shield(berth.waking)

        post.problem, post.wake = "is not loaded", wake

    # --- small questions, asked in a thread ----------------------------------------------------

    def _admitted(self, ref: str) -> Admission:
        admission = admit(find(self.root, ref), allow_ungated=self.allow_ungated)
        for doubt in admission.doubts:
            self.tell(f"warning: {ref} is served ungated: {doubt}")
        return admission

    def _together(self, berth: Berth) -> list[Berth]:
        """Names without an engine that go into one with this name, this one included."""
        asleep = [b for b in self.names.values() if b is berth or b.group is None]
        for group in self.launcher.groups([b.admission for b in asleep]):
            if berth.admission in group:
                return [b for b in asleep if b.admission in group]
        return [berth]

    def _engines(self, berth: Berth, admission: Admission) -> int:
        """How many engines there would be with this release in the place of what a name means now."""
        start = [
            admission if one is berth else one.admission
            for one in self.names.values()
            if one.group is None or one.group is berth.group
        ]
        stay = sum(group is not berth.group for group in self.memory.groups)
        return stay + len(self.launcher.groups(start))


def unavailable(message: str) -> ApiError:
    """503: please come back."""
    return ApiError(503, message, code="engine_unavailable", headers={"retry-after": "5"})
