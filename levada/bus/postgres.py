"""The bus in Postgres: `bus_log` holds the records, one row of `bus_head` per partition hands out the offsets.

The head row is what makes a plain `off >= position` a correct read. It is locked last in its transaction, so numbers are
taken in the order of commits and a rollback gives them back: a reader can not step over a record that commits later.

Appending is one statement per flush. Callers that append while a flush is on its way wait for it and then share the next
one, so the busier the bus, the larger the flushes and the cheaper each record.

Reading mostly costs no query. What this process appends it also remembers for a while (`Tail`); a reader in the same
process that has kept up finds its next records there, and is woken at once. Records of other processes are found by
polling: often while there is traffic, seldom while there is none, and at once when the doorbell rings. Without doorbell
everything works the same, only later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import json

from levada.bus.port import Outgoing, Record, partition_of
from levada.bus.tail import Tail
from levada.database import Database, Statements
from levada.model.errors import Defect, Transient, UserError

SQL = Statements(Path(__file__).parent / "sql")

FLUSH_RECORDS = 1000
FLUSH_BYTES = 4 * 1024 * 1024
#: A reader that lives on the tail still looks into the database this often, for what others append.
FOREIGN_CHECK_S = 0.02

HEADERS = json.Decoder(dict[str, str])

_Call = tuple[Sequence[Outgoing], asyncio.Future[None]]


class PostgresBus:
    """One per process."""

    def __init__(
        self,
        database: Database,
        *,
        now_us: Callable[[], int],
        partitions: int = 8,
        busy_poll_s: float = 0.02,
        idle_poll_s: float = 0.5,
        ring: Callable[[], None] | None = None,
        alone: bool = False,
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`ring` tells other processes that something was appended. `alone`: no other process appends, ever.

        A waiting reader asks the database after `busy_poll_s`, then seldomer, down to every `idle_poll_s`.
        """
        self._database = database
        self._now_us = now_us
        self._partitions = partitions
        self._busy_poll_s = busy_poll_s
        self._idle_poll_s = idle_poll_s
        self._ring = ring
        self._alone = alone
        self._failpoint = failpoint
        self._waiting: list[_Call] = []
        self._flusher: asyncio.Task[None] | None = None
        self._known: set[str] = set()
        self._tail = Tail()
        self._turn = 0
        self._arrivals: dict[str, asyncio.Event] = {}
        self._closed = False

    @property
    def partitions(self) -> int:
        return self._partitions

    # --- appending

    async def append(self, records: Sequence[Outgoing]) -> None:
        if not records:
            return
        if self._closed:
            raise Transient("the bus is closed")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="bus-flush")
        await done

    async def _flush(self) -> None:
        """Write what waits, one flush after the other, until nothing does."""
        while self._waiting:
            batch = self._next_batch()
            error = await self._try(batch)
            if error is not None and not isinstance(error, Transient) and len(batch) > 1:
                for call in batch:  # one caller's impossible record must not fail the others
                    _settle([call], await self._try([call]))
            else:
                _settle(batch, error)

    async def _try(self, batch: Sequence[_Call]) -> BaseException | None:
        """Write the records of these calls; return what went wrong."""
        records = [record for wanted, _ in batch for record in wanted]
        try:
            await self._know(records)
            self._failpoint("bus.before_append")
            written = await self._write(self._database.fetch, records)
            self._failpoint("bus.after_append")
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the callers that wait
            return error
        except BaseException:
            _settle(batch, Transient("appending to the bus was interrupted"))
            raise
        self._arrived(written)
        return None

    def _next_batch(self) -> list[_Call]:
        """Take whole calls off the queue, at least one, until a flush is full."""
        taken, records, size = 0, 0, 0
        for wanted, _ in self._waiting:
            records += len(wanted)
            size += sum(len(record.body) for record in wanted)
            if taken and (records > FLUSH_RECORDS or size > FLUSH_BYTES):
                break
            taken += 1
        batch, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return batch

    async def _write(self, fetch: Callable[..., Any], records: Sequence[Outgoing]) -> list[Record]:
        """Insert the records and return them with their offsets, in order."""
        counts: dict[tuple[str, int], int] = {}
        places: list[tuple[str, int]] = []
        ordinals: list[int] = []
        for record in records:
            place = (record.topic, partition_of(record.key, self._partitions))
            ordinal = counts.get(place, 0)
            counts[place] = ordinal + 1
            places.append(place)
            ordinals.append(ordinal)
        index = {place: position for position, place in enumerate(counts, start=1)}
        at = self._now_us()
        rows = await fetch(
            SQL["append"],
            [topic for topic, _ in counts],
            [part for _, part in counts],
            list(counts.values()),
            [index[place] for place in places],
            ordinals,
            [record.key for record in records],
            [record.id for record in records],
            [record.body for record in records],
            at,
            [_written(record.headers) for record in records],
        )
        if len(rows) != len(counts):
            raise Defect(f"bus_head lacks rows: wanted {sorted(counts)}, found {sorted(map(tuple, rows))}")
        first = {(topic, part): offset for topic, part, offset in rows}
        return [
            Record(place[0], place[1], first[place] + ordinal, record.key, record.body, record.id, record.headers, at)
            for record, place, ordinal in zip(records, places, ordinals, strict=True)
        ]

    def _arrived(self, written: Iterable[Record]) -> None:
        """Let readers see what is committed now."""
        for topic in self._tail.add(written):
            self._arrival(topic).set()
        if self._ring is not None:
            self._ring()

    async def _know(self, records: Iterable[Outgoing]) -> None:
        for topic in {record.topic for record in records} - self._known:
            await self._make(topic)

    async def _make(self, topic: str) -> None:
        """Make the heads of a topic unless they are there; their number never changes."""
        await self._database.execute(SQL["make_heads"], topic, self._partitions)
        found = await self._database.fetchval(SQL["count_heads"], topic)
        if found != self._partitions:
            raise UserError(
                f"bus.partitions is {self._partitions}, but topic {topic} of this database has {found} partitions; "
                f"the number is fixed once a database is in use: set it back to {found}"
            )
        self._known.add(topic)

    # --- reading

    async def poll(
        self, topic: str, positions: Mapping[int, int], *, max_records: int, max_bytes: int, timeout_s: float
    ) -> list[Record]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pause_s = self._busy_poll_s
        arrival = self._arrival(topic)
        positions = self._turned(positions)
        while positions:
            arrival.clear()
            records, complete = self._tail.read(topic, positions, max_records)
            if not complete or self._foreign_due(topic, loop.time(), bool(records)):
                records = await self._read(topic, positions, max_records, max_bytes)
            if records:
                return _within(records, max_records, max_bytes)
            remaining = deadline - loop.time()
            if remaining <= 0 or self._closed:
                return []
            await _wait(arrival, min(pause_s, remaining))
            pause_s = min(pause_s * 2, self._idle_poll_s)
        await asyncio.sleep(timeout_s)
        return []

    def _turned(self, positions: Mapping[int, int]) -> dict[int, int]:
        """Begin with another partition each time: whoever is cut off now comes first before long."""
        self._turn += 1
        order = list(positions.items())
        start = self._turn % max(len(order), 1)
        return dict(order[start:] + order[:start])

    def _foreign_due(self, topic: str, now: float, busy: bool) -> bool:
        """Whether it is time to ask the database for what others appended."""
        since_s = now - self._tail.read_at.get(topic, 0.0)
        if self._alone:
            return since_s > self._idle_poll_s
        return not busy or since_s > FOREIGN_CHECK_S

    async def _read(self, topic: str, positions: Mapping[int, int], max_records: int, max_bytes: int) -> list[Record]:
        """Read from the database, giving every partition its share of records and bytes."""
        share, bytes_ = max(max_records // len(positions), 1), max(max_bytes // len(positions), 1)
        self._tail.read_at[topic] = asyncio.get_running_loop().time()
        parts, offsets = list(positions), list(positions.values())
        rows = await self._database.fetch(SQL["poll"], topic, parts, offsets, share, bytes_)
        records = [
            Record(topic, part, offset, key, body, id, HEADERS.decode(headers) if headers else {}, at)
            for part, offset, key, id, body, at, headers, _ in rows
        ]
        there = {row[0]: row[7] for row in rows}
        for part, position in positions.items():
            if there.get(part, 0) < share:  # else there may be more
                self._tail.ends_at(topic, part, position + there.get(part, 0))
        return records

    async def ends(self, topic: str) -> dict[int, int]:
        if topic not in self._known:
            await self._make(topic)
        return dict(await self._database.fetch(SQL["ends"], topic))

    async def trim(self, topic: str, positions: Mapping[int, int]) -> None:
        await self._database.execute(SQL["trim"], topic, list(positions), list(positions.values()))

    def wake(self) -> None:
        """The doorbell rang: somebody else appended something."""
        for topic, arrival in self._arrivals.items():
            self._tail.read_at[topic] = 0.0
            arrival.set()

    async def close(self) -> None:
        """Wait for the flush that is on its way; readers return."""
        self._closed = True
        if self._flusher is not None:
            await asyncio.wait([self._flusher])
        self.wake()

    def _arrival(self, topic: str) -> asyncio.Event:
        return self._arrivals.setdefault(topic, asyncio.Event())


def _written(headers: Mapping[str, str]) -> str | None:
    """Return headers as their column has them: a JSON object, or nothing."""
    return json.encode(headers).decode() if headers else None


def _settle(batch: Iterable[_Call], error: BaseException | None) -> None:
    for _, done in batch:
        if done.done():
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)


def _within(records: list[Record], max_records: int, max_bytes: int) -> list[Record]:
    """Cut to the limits, keeping at least one record and the order inside each partition."""
    size = 0
    for number, record in enumerate(records):
        size += len(record.body)
        if number == max_records or (size > max_bytes and number):
            return records[:number]
    return records


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
