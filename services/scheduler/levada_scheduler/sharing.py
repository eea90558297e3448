"""Which part of the schedules is this scheduler's: its place among those that live.

Only to save work. Two schedulers that think themselves in the same place, or a place that nobody has, change nothing about
what is fired: see scheduler.py.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from levada.model.errors import Transient
from levada.runtime.clock import Clock
from levada.store.members import Members

log = logging.getLogger("levada.scheduler")

SERVICE = "scheduler"
#: Nobody owns partitions of this one: a schedule belongs to whoever looks.
TOPIC = "schedules"
BEATS_PER_LEASE = 4


class Sharing:
    """Beats, and knows its place. Alone until it has heard of others."""

    def __init__(self, members: Members, name: str, clock: Clock, lease_s: float, info: Mapping[str, Any]) -> None:
        self.name = name
        self._members = members
        self._clock = clock
        self._lease_s = lease_s
        self._info = info
        self._place = (0, 1)

    def place(self) -> tuple[int, int]:
        """Return (index, count)."""
        return self._place

    async def beat(self) -> None:
        await self._members.beat(SERVICE, self.name, self._lease_s, self._info)
        found, _ = await self._members.survey(SERVICE, TOPIC)
        living = sorted(found)
        self._place = (living.index(self.name), len(living)) if self.name in living else (0, 1)

    async def run(self, stop: asyncio.Event) -> None:
        """Beat until `stop`, then say goodbye."""
        while not stop.is_set():
            try:
                await self.beat()
            except Transient as error:
                log.debug("can not say that this scheduler is there: %s", error)
                self._place = (0, 1)
            await first_of(stop, self._lease_s / BEATS_PER_LEASE, self._clock)
        try:
            await self._members.leave(SERVICE, self.name)
        except Transient as error:
            log.info("the others will find out by themselves that this scheduler is gone: %s", error)


async def first_of(stop: asyncio.Event, seconds: float, clock: Clock) -> None:
    """Wait until `stop` is set, but no longer than so many seconds of this clock."""
    waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(clock.sleep(seconds))]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
