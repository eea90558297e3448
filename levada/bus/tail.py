"""What this process appended lately, so that a reader beside it need not ask the database for it.

Per partition a run of records without a gap. A record that does not follow the last one means that somebody else appended
in between: the run starts anew, and a reader whose position lies before it reads from the database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice

from levada.bus.port import Record

LONGEST_RUN = 2000
LARGEST_RUN_BYTES = 8 * 1024 * 1024


class _Run:
    __slots__ = ("records", "size")

    def __init__(self) -> None:
        self.records: deque[Record] = deque()
        self.size = 0

    def add(self, record: Record) -> None:
        if self.records and record.offset != self.records[-1].offset + 1:
            if record.offset <= self.records[-1].offset:
                return  # two flushes reported out of order; the run stays what it is, without a gap
            self.records.clear()
            self.size = 0
        self.records.append(record)
        self.size += len(record.body)
        while len(self.records) > LONGEST_RUN or (self.size > LARGEST_RUN_BYTES and len(self.records) > 1):
            self.size -= len(self.records.popleft().body)

    def since(self, position: int, limit: int) -> list[Record]:
        """Return records from `position` on and forget those before it; empty when the run does not reach that far."""
        records = self.records
        if not records or position < records[0].offset:
            return []
        while records and records[0].offset < position:
            self.size -= len(records.popleft().body)
        return list(islice(records, limit))


class Tail:
    """The runs of all partitions. `read_at` is when a reader of a topic last asked the database."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, int], _Run] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._read: set[str] = set()
        self.read_at: dict[str, float] = {}

    def add(self, records: Iterable[Record]) -> set[str]:
        """Remember committed records, of topics that somebody here reads; return the topics of all of them."""
        topics = set()
        for record in records:
            topics.add(record.topic)
            if record.topic in self._read:
                place = (record.topic, record.partition)
                run = self._runs.get(place)
                if run is None:
                    run = self._runs[place] = _Run()
                run.add(record)
                self.ends_at(record.topic, record.partition, record.offset + 1)
        return topics

    def ends_at(self, topic: str, partition: int, end: int) -> None:
        """Learn that a partition reaches to `end` (exclusive) at least."""
        place = (topic, partition)
        if end > self._ends.get(place, -1):
            self._ends[place] = end

    def read(self, topic: str, positions: Mapping[int, int], limit: int) -> tuple[list[Record], bool]:
        """Return up to `limit` records from the positions on, each partition having its share first.

        The flag is False when some partition has, or may have, records that only the database can give.
        """
        self._read.add(topic)
        share = max(limit // max(len(positions), 1), 1)
        found: list[Record] = []
        complete = True
        for part, position in positions.items():
            place = (topic, part)
            if self._ends.get(place, -1) == position:
                continue
            run = self._runs.get(place)
            records = run.since(position, share) if run is not None else []
            if records:
                found.extend(records)
            else:
                complete = False
        return found, complete
