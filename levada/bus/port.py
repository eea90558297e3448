"""The bus port: partitioned, ordered logs.

Records of one key keep their order; a partition's offsets are gapless and start at 0. The reader keeps its own offsets
(the executor stores them in the transaction that applies the records), so nothing is ever acknowledged to the bus.
One contract suite (tests/contract/test_bus.py) runs over every adapter.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from levada.model.errors import Transient
from levada.model.ids import partition_of

__all__ = [
    "AUDIT",
    "CHANGES",
    "COMMANDS",
    "CONTROL",
    "INLINE_LIMIT_BYTES",
    "LOGS",
    "METRICS",
    "TOPICS",
    "UNREADABLE",
    "Bus",
    "Outgoing",
    "PositionLost",
    "Record",
    "partition_of",
]

COMMANDS = "commands"
LOGS = "logs"
METRICS = "metrics"
AUDIT = "audit"
CHANGES = "changes"
CONTROL = "control"
TOPICS = (COMMANDS, LOGS, METRICS, AUDIT, CHANGES, CONTROL)

#: Bodies above this go to internal storage and travel as a reference.
INLINE_LIMIT_BYTES = 256 * 1024

#: A record with this header could not be opened (newer envelope, lost body, broken checksum …); the value says why. Its
#: body is what there is of it. Whoever reads it parks it as a dead letter and never decodes the body.
UNREADABLE = "levada-unreadable"


class Outgoing(msgspec.Struct, frozen=True):
    """A record to append. `id` is its natural key for receivers that drop repeats (may be empty)."""

    topic: str
    key: str
    body: bytes
    id: str = ""
    #: Trace context and the like; small texts.
    headers: Mapping[str, str] = {}


class Record(msgspec.Struct, frozen=True):
    topic: str
    partition: int
    offset: int
    key: str
    body: bytes
    id: str = ""
    headers: Mapping[str, str] = {}
    #: When it was appended, epoch microseconds; 0 where the adapter does not know.
    at: int = 0


class PositionLost(Transient):
    """The log does not reach to this position, or begins after it: records are gone that the reader has counted on."""

    def __init__(self, topic: str, partition: int, position: int, start: int, end: int) -> None:
        super().__init__(
            f"partition {partition} of {topic} is wanted from {position}, but holds {start} to {end}: its log was lost"
        )
        self.topic, self.partition, self.position, self.start, self.end = topic, partition, position, start, end


class Bus(Protocol):
    """All methods raise `Transient` when the backend is away; an append that raised may or may not have happened."""

    @property
    def partitions(self) -> int:
        """Partitions of every topic; fixed for the life of the installation."""

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append durably, in order per key. Returns only after all are committed. Concurrent calls share commits."""

    async def poll(
        self, topic: str, positions: Mapping[int, int], *, max_records: int, max_bytes: int, timeout_s: float
    ) -> list[Record]:
        """Return records at or after `positions` (partition -> next offset), in offset order per partition.

        Waits up to `timeout_s` for the first one; an empty list means nothing came. Reads fairly over partitions.
        Raises PositionLost when the log can not have what is asked for. Several topics may be polled at a time.
        """

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the offset after the last record of every partition."""

    async def trim(self, topic: str, positions: Mapping[int, int]) -> None:
        """Allow records before `positions` to be dropped (housekeeping; may keep some)."""

    async def close(self) -> None: ...
