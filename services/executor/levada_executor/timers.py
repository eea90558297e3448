"""Timers and leases: what becomes due is turned into commands on the bus, where the engine decides what it means.

Both loops only ever send commands, so running two of them, or one twice, changes nothing: a timer names the event that
armed it, a lost worker its attempt. To save work each executor fires the timers of its own partitions, and the one that
has the first partition looks after the leases.
"""

import asyncio
import heapq
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from levada.jobs.port import LeaseKeeper
from levada.model import commands as cmd
from levada.runtime import metrics
from levada.runtime.clock import Clock
from levada.runtime.lifecycle import pause
from levada.store.port import DueTimer, ExecutionStore

log = logging.getLogger("levada.executor")

LOOK_S = 1.0
BATCH = 500
KNOWN_MAX = 100_000


class Sender(Protocol):
    async def send(self, commands: Sequence[cmd.Command]) -> None: ...


class TimerLoop:
    """Sleeps until the next known due time (or LOOK_S), then fires what is due in the partitions that `owned` gives."""

    def __init__(
        self, store: ExecutionStore, commands: Sender, clock: Clock, owned: Callable[[], Collection[int]]
    ) -> None:
        self._store = store
        self._commands = commands
        self._clock = clock
        self._owned = owned
        self._known: list[int] = []
        self._woken = asyncio.Event()

    def wake(self, due: int) -> None:
        """A timer was armed. Beyond KNOWN_MAX the look every LOOK_S finds it."""
        if len(self._known) < KNOWN_MAX:
            heapq.heappush(self._known, due)
            if self._known[0] == due:
                self._woken.set()

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            fired = await self.fire()
            if fired < BATCH:
                await self._wait(stop)

    async def fire(self) -> int:
        """Put the commands of due timers on the bus; return how many."""
        now = self._clock.now_us()
        while self._known and self._known[0] <= now:
            heapq.heappop(self._known)
        owned = sorted(self._owned())
        due = await self._store.due_timers(now, BATCH, owned) if owned else []
        if due:
            await self._commands.send([_command(timer) for timer in due])
            fired_at = self._clock.now_us()
            for timer in due:
                metrics.TIMER_LATENESS.observe((fired_at - timer.due) / 1_000_000)
            await self._store.mark_fired(due)
        return len(due)

    async def _wait(self, stop: asyncio.Event) -> None:
        self._woken.clear()
        wait_s = LOOK_S
        if self._known:
            wait_s = min(max((self._known[0] - self._clock.now_us()) / 1_000_000, 0.001), LOOK_S)
        woken = asyncio.ensure_future(self._woken.wait())
        stopped = asyncio.ensure_future(stop.wait())
        slept = asyncio.ensure_future(self._clock.sleep(wait_s))
        try:
            await asyncio.wait({woken, stopped, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in (woken, stopped, slept):
                waiter.cancel()


def _command(timer: DueTimer) -> cmd.TimerFired:
    return cmd.TimerFired(
        execution_id=timer.execution_id, seq=timer.seq, kind=timer.kind, task_run_id=timer.task_run_id
    )


class LeaseLoop:
    """Looks for attempts whose worker no longer renews them, while it is this executor's turn (`leads`)."""

    def __init__(self, leases: LeaseKeeper, clock: Clock, every_s: float, leads: Callable[[], bool]) -> None:
        self._leases = leases
        self._clock = clock
        self._every_s = every_s
        self._leads = leads

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            expired = await self._leases.expire(BATCH) if self._leads() else 0
            if expired:
                metrics.LEASES_LOST.inc(by=expired)
                log.warning("%d attempts lost their worker", expired)
            await pause(stop, self._every_s)
