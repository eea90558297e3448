"""The bus in memory, for unit tests and the simulation. Waits only through the clock it is given."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from levada.bus.port import Outgoing, Record, partition_of
from levada.model.errors import Transient


class MemoryBus:
    """Records stay where they are; `trim` forgets nothing."""

    def __init__(
        self,
        *,
        partitions: int = 8,
        monotonic: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        now_us: Callable[[], int] = lambda: 0,
    ) -> None:
        self._partitions = partitions
        self._monotonic = monotonic
        self._sleep = sleep
        self._now_us = now_us
        self._logs: dict[tuple[str, int], list[Record]] = {}
        self._arrivals: dict[str, asyncio.Event] = {}
        self._closed = False

    @property
    def partitions(self) -> int:
        return self._partitions

    async def append(self, records: Sequence[Outgoing]) -> None:
        if self._closed:
            raise Transient("the bus is closed")
        at = self._now_us()
        for one in records:
            part = partition_of(one.key, self._partitions)
            log = self._logs.setdefault((one.topic, part), [])
            log.append(Record(one.topic, part, len(log), one.key, one.body, one.id, one.headers, at))
        for topic in dict.fromkeys(record.topic for record in records):
            self._arrival(topic).set()

    async def poll(
        self, topic: str, positions: Mapping[int, int], *, max_records: int, max_bytes: int, timeout_s: float
    ) -> list[Record]:
        deadline = self._monotonic() + timeout_s
        while True:
            arrival = self._arrival(topic)
            arrival.clear()
            records = self._read(topic, positions, max_records, max_bytes)
            remaining = deadline - self._monotonic()
            if records or remaining <= 0 or self._closed:
                return records
            await either(arrival, self._sleep(remaining))

    def _read(self, topic: str, positions: Mapping[int, int], max_records: int, max_bytes: int) -> list[Record]:
        share = max(max_records // max(len(positions), 1), 1)
        found: list[Record] = []
        size = 0
        for part, position in positions.items():
            for record in self._logs.get((topic, part), [])[position : position + share]:
                size += len(record.body)
                if found and (size > max_bytes or len(found) == max_records):
                    return found
                found.append(record)
        return found

    async def ends(self, topic: str) -> dict[int, int]:
        return {part: len(self._logs.get((topic, part), [])) for part in range(self._partitions)}

    async def trim(self, topic: str, positions: Mapping[int, int]) -> None:
        return None

    async def close(self) -> None:
        self._closed = True
        for arrival in self._arrivals.values():
            arrival.set()

    def _arrival(self, topic: str) -> asyncio.Event:
        return self._arrivals.setdefault(topic, asyncio.Event())


async def either(event: asyncio.Event, sleep: Awaitable[None]) -> None:
    """Wait for the event, which the end of the sleep sets too: who waits for it looks again whatever the reason was."""

    def rang(done: asyncio.Future[None]) -> None:
        if not done.cancelled():
            done.exception()  # a clock that broke wakes like one that rang
        event.set()

    ring = asyncio.ensure_future(sleep)
    ring.add_done_callback(rang)
    try:
        await event.wait()
    finally:
        ring.remove_done_callback(rang)
        ring.cancel()
