"""A bus that is counted: how many records go each way, how long an append takes, how often a call fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from levada.bus.port import Bus, Outgoing, PositionLost, Record
from levada.model.errors import Transient
from levada.runtime import metrics
from levada.runtime.clock import Clock


class MeteredBus:
    """`Bus` around another one, `inner`."""

    def __init__(self, inner: Bus, clock: Clock) -> None:
        self.inner = inner
        self._clock = clock

    @property
    def partitions(self) -> int:
        return self.inner.partitions

    async def append(self, records: Sequence[Outgoing]) -> None:
        asked = self._clock.monotonic()
        try:
            await self.inner.append(records)
        except Transient:
            metrics.BUS_ERRORS.inc("append")
            raise
        metrics.BUS_APPEND.observe(self._clock.monotonic() - asked)
        if len(records) == 1:
            metrics.BUS_APPENDED.inc(records[0].topic)
            return
        for topic, number in Counter(record.topic for record in records).items():
            metrics.BUS_APPENDED.inc(topic, by=number)

    async def poll(
        self, topic: str, positions: Mapping[int, int], *, max_records: int, max_bytes: int, timeout_s: float
    ) -> list[Record]:
        try:
            records = await self.inner.poll(
                topic, positions, max_records=max_records, max_bytes=max_bytes, timeout_s=timeout_s
            )
        except PositionLost:
            metrics.BUS_ERRORS.inc("position")
            raise
        except Transient:
            metrics.BUS_ERRORS.inc("poll")
            raise
        if records:
            metrics.BUS_POLLED.inc(topic, by=len(records))
        return records

    async def ends(self, topic: str) -> dict[int, int]:
        try:
            return await self.inner.ends(topic)
        except Transient:
            metrics.BUS_ERRORS.inc("ends")
            raise

    async def trim(self, topic: str, positions: Mapping[int, int]) -> None:
        await self.inner.trim(topic, positions)

    async def close(self) -> None:
        await self.inner.close()
