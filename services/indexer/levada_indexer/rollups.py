"""Counts of executions: which minutes changed, and when to count them anew.

    changes (topic, or the hub of this process) → marks on minutes → recompute, now and then

A hint may be lost, come twice or in any order: marked minutes are counted from the executions themselves, so only a mark
that is missing matters, and `sweep` finds those. Counting the present minute anew costs what was created in it, so the
pause grows with what the last round took: counting never takes more than a small part of the database's time.
"""

from __future__ import annotations

import asyncio
import logging

from levada.model.errors import Transient
from levada.runtime.clock import Clock
from levada.runtime.hub import Hub
from levada.runtime.lifecycle import pause
from levada.store.records import ExecutionCounts

log = logging.getLogger("levada.indexer")

SWEEP_S = 60.0
#: Minutes counted in one transaction.
AT_ONCE = 100
#: A round may take one part in so many of the time.
SHARE = 20
LONGEST_PAUSE_S = 120.0


class Rollups:
    """Of one process. `hub` where changes are heard of in this process; without one, somebody else marks."""

    def __init__(self, counts: ExecutionCounts, clock: Clock, hub: Hub | None, *, interval_s: float = 5.0) -> None:
        self._counts = counts
        self._clock = clock
        self._hub = hub
        self._interval_s = interval_s
        self._changed: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Count until `stop`; what has changed until then is marked for the next start."""
        listener = asyncio.create_task(self._listen(self._hub), name="rollups") if self._hub is not None else None
        try:
            await self._count(stop)
        finally:
            if listener is not None:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)
        await self._mark()

    async def _listen(self, hub: Hub) -> None:
        async for change in hub.subscribe():
            self._changed.add(change.execution_id)

    async def _count(self, stop: asyncio.Event) -> None:
        swept: float | None = None
        while not stop.is_set():
            began = self._clock.monotonic()
            try:
                if swept is None:
                    await self._counts.catch_up(self._clock.now_us())
                if swept is None or began - swept >= SWEEP_S:
                    await self._counts.sweep(self._clock.now_us())
                    swept = began
                await self.round(stop)
            except Transient as error:
                log.warning("executions are counted again later: %s", error)
            await pause(stop, self.pause_s(self._clock.monotonic() - began))

    async def round(self, stop: asyncio.Event | None = None) -> int:
        """Mark what has changed and count what is marked; return how many minutes."""
        await self._mark()
        counted = 0
        while stop is None or not stop.is_set():
            some = await self._counts.recompute(AT_ONCE)
            counted += some
            if some < AT_ONCE:
                break
        return counted

    async def _mark(self) -> None:
        changed, self._changed = self._changed, set()
        try:
            await self._counts.mark(sorted(changed))
        except BaseException:
            self._changed |= changed
            raise

    def pause_s(self, took_s: float) -> float:
        """Return the pause after a round that took so long."""
        return min(max(self._interval_s, took_s * SHARE), max(LONGEST_PAUSE_S, self._interval_s))
