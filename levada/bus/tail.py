"""What this process appended lately, so that a reader beside it need not ask the database for it.

Per partition a run of records without a gap. A record that does not follow the last one means that somebody else appended
in between: the run starts anew, and a reader whose position lies before it reads from the database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TypeVar

from levada.bus.port import Record

T = TypeVar("T")

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

    def reach(self, position: int) -> int:
        """Forget what lies before `position`; return how many records follow it, 0 when the run begins later."""
        records = self.records
        if not records or position < records[0].offset:
            return 0
        while records and records[0].offset < position:
            self.size -= len(records.popleft().body)
        return len(records)


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
        complete = True
        runs: dict[_Run, int] = {}
        for part, position in positions.items():
            place = (topic, part)
            if self._ends.get(place, -1) == position:
                continue
            run = self._runs.get(place)
            count = run.reach(position) if run is not None else 0
            if run is not None and count:
                runs[run] = count
            else:
                complete = False
        found: list[Record] = []
        for run, count in shared(runs, limit).items():
            found.extend(islice(run.records, count))
        return found, complete


def shared(wanted: Mapping[T, int], limit: int) -> dict[T, int]:
    """Give everybody an equal part of `limit`, and what some do not need to those that want more."""
    share = max(limit // max(len(wanted), 1), 1)
    given = {one: min(count, share) for one, count in wanted.items()}
    left = limit - sum(given.values())
    for one, count in wanted.items():
        if left <= 0:
            break
        more = min(count - given[one], left)
        given[one] += more
        left -= more
    return given
