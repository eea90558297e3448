"""The loop that fires: what is due, what becomes of it, written in one step, then sent.

    look:  now -> due -> plan -> advance -> send -> sent

Everything before `advance` is reading and thinking, and may be done by several schedulers at once; `advance` lets one of
them win each schedule. From there on the start is a promise: its row has the command and the execution's id, and is sent
now, or by whoever finds it unsent SEND_AGAIN_S later. The executor ignores a start whose execution exists.

Time is the store's (`TriggerStore.now`, the clock of the database), so a host whose clock is wrong fires neither early nor
late, and all schedulers agree. Between looks the loop sleeps until the next date, at most `interval`.

Schedulers share the work by shards, so that no two think about the same schedule; a part whose scheduler is gone is taken
over by all after GRACE_US, long before anybody has decided that it is dead.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from levada.model import commands
from levada.model.commands import Command
from levada.model.errors import Transient
from levada.runtime.clock import Clock
from levada.runtime.failpoints import failpoint
from levada.store.triggers import Deliveries, Due, Fire, Step, TriggerStore
from levada_scheduler import definition, metrics
from levada_scheduler.declaring import Declarer
from levada_scheduler.planning import Planner
from levada_scheduler.sharing import first_of

log = logging.getLogger("levada.scheduler")

BATCH = 250
GRACE_US = 500_000
SEND_AGAIN_US = 2_000_000
KEPT_US = 7 * 86_400_000_000
PURGED_AT_ONCE = 5000
PURGE_S = 3600.0
COUNT_S = 10.0
RETRY_S = 1.0
#: Beyond the pause between two looks: what one look may take.
LOOK_LIMIT_S = 10.0

Send = Callable[[Sequence[Command]], Awaitable[None]]
Share = Callable[[], tuple[int, int]]


def alone() -> tuple[int, int]:
    """All of them."""
    return 0, 1


class Scheduler:
    """One per process. `run` ends when told to; everything it needs comes in, so a simulation can have it."""

    def __init__(
        self,
        *,
        store: TriggerStore,
        planner: Planner,
        declarer: Declarer,
        send: Send,
        clock: Clock,
        interval_s: float = 1.0,
        share: Share = alone,
        deliveries: Deliveries | None = None,
        failpoint: Callable[[str], None] = failpoint,
    ) -> None:
        """`share` says which part of the schedules is ours: (index, count). Of `deliveries` the old are forgotten here."""
        self._store = store
        self._planner = planner
        self._declarer = declarer
        self._send = send
        self._clock = clock
        self._interval_s = interval_s
        self._share = share
        self._deliveries = deliveries
        self._failpoint = failpoint
        self._looked_at: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Fire until `stop` is set. Outages of the database are waited out here."""
        parts = (self._firing, self._declaring, self._sending_again, self._counting, self._purging)
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(self._kept_up(part, stop), name=part.__name__)

    async def _kept_up(self, part: Callable[[], Awaitable[float]], stop: asyncio.Event) -> None:
        """Do a part again and again; it says how long to pause."""
        failing = False
        while not stop.is_set():
            try:
                pause_s = await part()
                failing = False
            except Transient as error:
                if not failing:
                    log.warning("%s: %s; trying again until it works", part.__name__.strip("_"), error)
                pause_s, failing = RETRY_S, True
            await first_of(stop, pause_s, self._clock)

    # --- firing

    async def _firing(self) -> float:
        now = await self._store.now()
        due = await self._store.due(now, BATCH, share=self._share(), grace_us=GRACE_US)
        if due:
            await self.fire(due, now)
        self._looked_at = self._clock.monotonic()
        if due:
            return 0.0
        following = await self._store.upcoming(now, GRACE_US)
        if following is None:
            return self._interval_s
        return min(max((following - now) / 1_000_000, 0.001), self._interval_s)

    async def fire(self, due: Sequence[Due], now: int) -> list[Fire]:
        """Take one batch from due to sent; return what this process fired."""
        steps = [await self._planned(each, now) for each in due]
        self._failpoint("scheduler.before_advance")
        fired = await self._store.advance(steps)
        self._failpoint("scheduler.before_send")
        metrics.observe(fired, steps, now)
        if fired:
            log.debug("fired %d dates of %d schedules", len(fired), len(due))
            await self._deliver(fired)
        return fired

    async def _planned(self, due: Due, now: int) -> Step:
        step = await self._planner.starter.rendered(definition.reads(due), lambda: self._planner.plan(due, now))
        if step.error is not None:
            log.warning("the schedule %s can not fire: %s", due.uid, step.error)
        return step

    async def _deliver(self, fired: Sequence[Fire]) -> None:
        await self._send([commands.decode(fire.body) for fire in fired])
        self._failpoint("scheduler.before_sent")
        await self._store.sent([fire.execution_id for fire in fired])

    # --- the rest

    async def _declaring(self) -> float:
        await self._declarer.look()
        return self._interval_s

    async def _counting(self) -> float:
        metrics.tally(*await self._store.tally())
        return COUNT_S

    async def _sending_again(self) -> float:
        forgotten = await self._store.unsent(SEND_AGAIN_US, BATCH)
        if forgotten:
            log.warning("sending %d starts again that were fired but not sent", len(forgotten))
            await self._deliver(forgotten)
        return self._interval_s if len(forgotten) < BATCH else 0.0

    async def _purging(self) -> float:
        before = await self._store.now() - KEPT_US
        purged = await self._store.purge_fired(before, PURGED_AT_ONCE)
        if self._deliveries is not None:
            purged = max(purged, await self._deliveries.purge(before, PURGED_AT_ONCE))
        return PURGE_S if purged < PURGED_AT_ONCE else 0.0

    async def looking(self) -> Mapping[str, Any]:
        """Health check: schedules are being looked at."""
        if self._looked_at is None:
            raise Transient("schedules have not been looked at yet")
        ago_s = self._clock.monotonic() - self._looked_at
        if ago_s > self._interval_s + LOOK_LIMIT_S:
            raise Transient(f"schedules were last looked at {ago_s:.0f} s ago; the log says what is in the way")
        return {"lookedSecondsAgo": round(ago_s, 3)}
