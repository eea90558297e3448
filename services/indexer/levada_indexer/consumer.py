"""One topic into its table: exactly once, gapless, whoever dies when.

    settle our partitions → poll → cut into batches → ONE transaction per batch: entries, dead letters, position

The position is in the same database as the entries and moves with them, under the epoch of the partition; so whoever was
replaced writes nothing any more, and after any doubt the partitions are owned anew and read on from the position.
Several indexers share the partitions of a topic (levada/runtime/partitions.py).

Batches are written at once while little comes, and at most every `linger_s` while more does, so a busy topic is written in
few large transactions. A record that can not be read, or does not fit the table, becomes a dead letter; the search for it
halves its batch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from levada.bus.port import UNREADABLE, Bus, PositionLost, Record
from levada.model.errors import Transient
from levada.runtime import metrics
from levada.runtime.clock import Clock
from levada.store.members import Ownership
from levada.store.port import DeadLetter, Fenced
from levada.store.records import IndexBatch, IndexStore, Unwritable
from levada_indexer.reading import READERS, Repeats

log = logging.getLogger("levada.indexer")

POLL_S = 1.0
#: Pause of an indexer that has no partition of the topic: there are more indexers than partitions, or it has just come.
IDLE_S = 0.5
MAX_RECORDS = 5_000
#: Read at a time; what is more than a batch is written in several.
MAX_BYTES = 4 * 1024 * 1024
#: Batches of fewer entries than this are small: the next one waits for company.
SMALL = 1_000
LONGEST_PAUSE_S = 2.0


class Assignment(Protocol):
    """Who owns which partition of the topic: runtime/partitions.py."""

    async def again(self) -> list[Ownership]: ...
    def lost(self, held: Collection[int]) -> list[int]: ...

    def surplus(self, held: Collection[int]) -> list[int]: ...
    async def take(self, held: Collection[int]) -> list[Ownership]: ...
    async def give_back(self, partitions: Collection[int]) -> None: ...


class Consumer:
    """Reads the partitions that it owns of one topic."""

    def __init__(
        self,
        topic: str,
        *,
        bus: Bus,
        store: IndexStore,
        assignment: Assignment,
        clock: Clock,
        batch_entries: int = 5_000,
        linger_s: float = 0.1,
        failpoint: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.topic = topic
        self._read = READERS[topic]
        self._bus = bus
        self._store = store
        self._assignment = assignment
        self._clock = clock
        self._batch_entries = batch_entries
        self._linger_s = linger_s
        self._failpoint = failpoint
        self._epochs: dict[int, int] = {}
        self._positions: dict[int, int] = {}
        self._repeats = Repeats()
        self._not_before = 0.0
        #: Entries written since this process began.
        self.written = 0

    @property
    def owned(self) -> Collection[int]:
        return self._epochs.keys()

    @property
    def positions(self) -> dict[int, int]:
        return dict(self._positions)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then give all partitions back. Raises Defect; Transient errors are ridden out with back-off."""
        pause = 0.05
        while not stop.is_set():
            try:
                await self.take_over()
                while not stop.is_set():
                    await self.rebalance()
                    await self.step(POLL_S)
                    pause = 0.05
                await self._give_back(list(self._epochs))
            except Fenced as fenced:
                log.warning("reading topic %s again from where it is written: %s", self.topic, fenced)
            except Transient as error:
                log.warning("the indexer of %s starts over in %.2f s: %s", self.topic, pause, error)
                await self._clock.sleep(pause * (0.5 + self._clock.random()))
                pause = min(pause * 2, LONGEST_PAUSE_S)

    # -- ownership

    async def take_over(self) -> None:
        """After any doubt: believe nothing in memory, own anew what is ours."""
        self._epochs.clear()
        self._positions.clear()
        self._adopt(await self._assignment.again())

    async def rebalance(self) -> None:
        """Give back what is beyond our share and take what we lack of it. Raises Fenced when some is others' by now."""
        lost = self._assignment.lost(self._epochs)
        if lost:
            raise Fenced(f"partitions {lost} of the topic {self.topic} were taken over by others")
        surplus = self._assignment.surplus(self._epochs)
        if surplus:
            await self._give_back(surplus)
        self._adopt(await self._assignment.take(self._epochs))

    def _adopt(self, taken: Sequence[Ownership]) -> None:
        for owned in taken:
            self._epochs[owned.partition] = owned.epoch
            self._positions[owned.partition] = owned.done_off

    async def _give_back(self, partitions: Collection[int]) -> None:
        for part in partitions:
            del self._epochs[part], self._positions[part]
        if partitions:
            await self._assignment.give_back(partitions)

    # -- one round

    async def step(self, timeout_s: float) -> int:
        """Poll once and write what came; return the number of records."""
        if not self._epochs:
            await self._clock.sleep(min(timeout_s, IDLE_S))
            return 0
        await self._clock.sleep(self._not_before - self._clock.monotonic())
        try:
            records = await self._bus.poll(
                self.topic, self._positions, max_records=MAX_RECORDS, max_bytes=MAX_BYTES, timeout_s=timeout_s
            )
        except PositionLost as lost:
            # Whoever lost its log has lost these lines; those that come now are worth reading.
            log.critical("%s; reading from %d", lost, lost.start)
            batch = self._new_batch()
            batch.positions[lost.partition] = lost.start
            await self._commit(batch, [], 0)
            return 0
        if records:
            self._failpoint("indexer.polled")
            began = self._clock.monotonic()
            entries = await self._write(records)
            self._not_before = began + self._linger_s if entries < SMALL else 0.0
        return len(records)

    async def _write(self, records: Sequence[Record]) -> int:
        """Write records in batches cut where they are full; return the number of entries."""
        total = first = 0
        batch, entries = self._new_batch(), 0
        for number, record in enumerate(records, start=1):
            entries += self._add(batch, record)
            if entries >= self._batch_entries or number == len(records):
                await self._commit(batch, records[first:number], entries)
                total += entries
                first, batch, entries = number, self._new_batch(), 0
        return total

    def _new_batch(self) -> IndexBatch:
        return IndexBatch(topic=self.topic, epochs=dict(self._epochs), positions={})

    def _add(self, batch: IndexBatch, record: Record) -> int:
        batch.positions[record.partition] = record.offset + 1
        if self._repeats.is_one(record):
            return 0
        if UNREADABLE in record.headers:
            self._bury(batch, record, record.headers[UNREADABLE], "")
            return 0
        try:
            return self._read(batch, record.body)
        except (ValueError, RecursionError) as error:
            self._bury(batch, record, "the message can not be read", str(error))
            return 0

    async def _commit(self, batch: IndexBatch, records: Sequence[Record], entries: int) -> None:
        self._failpoint("indexer.before_commit")
        began = self._clock.monotonic()
        try:
            await self._store.commit(batch)
        except Unwritable as error:
            if not entries and len(records) == 1:
                raise  # not even the dead letter can be written
            await self._isolate(records, error)
            return
        self._failpoint("indexer.after_commit")
        self._positions.update(batch.positions)
        self.written += entries
        metrics.INDEXED.inc(self.topic, by=entries)
        metrics.INDEX_BATCH.observe(entries, self.topic)
        metrics.INDEX_COMMIT.observe(self._clock.monotonic() - began, self.topic)

    async def _isolate(self, records: Sequence[Record], error: Unwritable) -> None:
        """Write the halves by themselves; a single record that the table refuses becomes a dead letter."""
        if len(records) == 1:
            (record,) = records
            batch = self._new_batch()
            batch.positions[record.partition] = record.offset + 1
            self._bury(batch, record, "an entry does not fit its table", str(error))
            await self._commit(batch, records, 0)
            return
        middle = len(records) // 2
        for half in (records[:middle], records[middle:]):
            batch = self._new_batch()
            entries = sum(self._add(batch, record) for record in half)
            await self._commit(batch, half, entries)

    def _bury(self, batch: IndexBatch, record: Record, reason: str, detail: str) -> None:
        log.error(
            "record %d of partition %d of %s becomes a dead letter: %s: %s",
            record.offset,
            record.partition,
            self.topic,
            reason,
            detail,
        )
        metrics.INDEX_ERRORS.inc(self.topic)
        metrics.DEAD_LETTERED.inc(self.topic)
        batch.dead.append(
            DeadLetter(
                topic=record.topic,
                partition=record.partition,
                offset=record.offset,
                key=record.key,
                reason=reason,
                detail=detail,
                body=record.body,
                at=self._clock.now_us(),
            )
        )
