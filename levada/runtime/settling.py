"""Reading a log right after the execution has ended, where lines travel on the bus: wait until the indexers are through.

A worker's lines are on the bus before its result is, so whoever has seen the end of an execution may ask the bus how far the
execution's partition of `logs` reaches, and the last lines are in the table as soon as an indexer has come that far. The
wait is a courtesy with a limit: when no indexer works, the answer is what is there.
"""

from __future__ import annotations

from levada.bus.port import LOGS, Bus, partition_of
from levada.model.execution import ExecutionHead
from levada.runtime.clock import Clock
from levada.store.records import IndexStore

PATIENCE_S = 2.0
#: Lines of an execution that ended longer ago than this are not waited for: they are there, or nobody writes them.
RECENT_US = 5_000_000
LOOKS_S = (0.01, 0.02, 0.05, 0.1)


class Settling:
    """Waits for lines that were on the bus when it was asked."""

    def __init__(self, bus: Bus, index: IndexStore, clock: Clock) -> None:
        self._bus = bus
        self._index = index
        self._clock = clock

    async def ended(self, execution: ExecutionHead) -> bool:
        """Wait for the last lines of an execution that has ended just now; for others return at once."""
        if not execution.state.is_terminal or not execution.history:
            return True
        if self._clock.now_us() - execution.history[-1][1] > RECENT_US:
            return True
        return await self.written(execution.id)

    async def written(self, execution_id: str) -> bool:
        """Wait until what the bus holds of this execution's lines is in the table; False when time was up before."""
        part = partition_of(execution_id, self._bus.partitions)
        end = (await self._bus.ends(LOGS)).get(part, 0)
        deadline = self._clock.monotonic() + PATIENCE_S
        looks = 0
        while (await self._index.positions(LOGS)).get(part, 0) < end:
            if self._clock.monotonic() >= deadline:
                return False
            await self._clock.sleep(LOOKS_S[min(looks, len(LOOKS_S) - 1)])
            looks += 1
        return True
