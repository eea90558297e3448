"""Accepted commands that the bus does not have: found and sent again.

The table `ingress` holds what was acknowledged and is not applied yet. Mostly that is on the bus and about to be read. What is
not there (the process that accepted it died first, the bus was away, its log was lost) is found without asking the bus for
single records: note the end of a partition's log; once this executor has applied up to there, whatever was accepted well
before that note and still waits in the table can not be in the log. It is sent again.

A record that turns up after all is applied once: the commit takes the row out of the table, and whoever finds no row skips
the record (store.Repeated).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from levada.bus.port import COMMANDS, Bus
from levada.model.errors import Transient
from levada.runtime import metrics
from levada.runtime.clock import Clock
from levada.runtime.lifecycle import pause
from levada.store.port import Accepted, Ingress

log = logging.getLogger("levada.executor")

LOOK_S = 1.0
#: Longest that an accepted command may be on its way to the bus before it is believed to be missing there.
ON_ITS_WAY_US = 5_000_000
BATCH = 1000


class Resender(Protocol):
    async def resend(self, rows: Sequence[Accepted]) -> None: ...


class Reconciler:
    """Looks after the partitions that `positions` gives: partition → how far it is applied."""

    def __init__(
        self,
        ingress: Ingress,
        bus: Bus,
        commands: Resender,
        clock: Clock,
        positions: Callable[[], Mapping[int, int]],
        *,
        on_its_way_us: int = ON_ITS_WAY_US,
    ) -> None:
        self._ingress = ingress
        self._bus = bus
        self._commands = commands
        self._clock = clock
        self._positions = positions
        self._on_its_way_us = on_its_way_us
        #: Partition → (when its end was noted, the end).
        self._noted: dict[int, tuple[int, int]] = {}
        self.sent_again = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Look every second until `stop`. A bus that is away is waited for."""
        while not stop.is_set():
            try:
                await self.look()
            except Transient as error:
                log.debug("missing commands are looked for later: %s", error)
            await pause(stop, LOOK_S)

    async def look(self) -> int:
        """Send again what is missing as of the last note, and note the ends anew; return how many."""
        positions = self._positions()
        reached = {
            part: noted for part, (noted, end) in self._noted.items() if part in positions and positions[part] >= end
        }
        sent = 0
        for part, noted in reached.items():
            sent += await self._send_again(part, noted - self._on_its_way_us)
        await self._note(set(reached))
        return sent

    async def _send_again(self, part: int, before: int) -> int:
        rows = await self._ingress.waiting([part], before, BATCH)
        if rows:
            log.warning("%d accepted commands of partition %d are not on the bus; sending them again", len(rows), part)
            await self._commands.resend(rows)
            self.sent_again += len(rows)
            metrics.INGRESS_RESENT.inc(by=len(rows))
        return len(rows)

    async def _note(self, reached: set[int]) -> None:
        """Note where our partitions end now, but keep the notes that are still to be reached.

        A log that ends before its note was lost since: nobody would ever read up to there.
        """
        if not self._positions():
            self._noted.clear()
            return
        now = self._clock.now_us()
        ends = await self._bus.ends(COMMANDS)
        kept = {
            part: noted for part, noted in self._noted.items() if part not in reached and noted[1] <= ends.get(part, 0)
        }
        self._noted = {part: kept.get(part, (now, ends[part])) for part in self._positions() if part in ends}
