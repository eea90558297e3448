"""What a record of each topic means: the table from topic to the part of a batch that it becomes.

A record is read as a whole or not at all; one that can not be read raises ValueError and becomes a dead letter, and whoever
sent the next one does not notice. Nothing here waits or writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import msgspec

from levada.bus.port import AUDIT, CHANGES, LOGS, METRICS, Record
from levada.runtime import sinks
from levada.store.records import IndexBatch

#: Adds a record to the batch and returns how many entries it had. Raises ValueError.
Reader = Callable[[IndexBatch, bytes], int]


class _Change(msgspec.Struct, frozen=True, rename="camel"):
    """Of a change (levada/runtime/changes.py) only what matters here."""

    execution_id: str
    refused: bool = False


_decode_change = msgspec.json.Decoder(_Change).decode


def _logs(batch: IndexBatch, body: bytes) -> int:
    entries = sinks.decode_logs(body)
    batch.logs.extend(entries)
    return len(entries)


def _metrics(batch: IndexBatch, body: bytes) -> int:
    entries = sinks.decode_metrics(body)
    batch.metrics.extend(entries)
    return len(entries)


def _audit(batch: IndexBatch, body: bytes) -> int:
    entries = sinks.decode_audit(body)
    batch.audit.extend(entries)
    return len(entries)


def _changes(batch: IndexBatch, body: bytes) -> int:
    change = _decode_change(body)
    if change.refused:
        return 0
    batch.changed.add(change.execution_id)
    return 1


#: The topics that indexers read.
READERS: Mapping[str, Reader] = {LOGS: _logs, METRICS: _metrics, AUDIT: _audit, CHANGES: _changes}


class Repeats:
    """Knows the lately read records of each partition by their ids, to drop what a sender in doubt has sent twice.

    A record that is read again at its own offset (after a commit in doubt) is no repeat.
    """

    def __init__(self, remembered: int = 1000) -> None:
        self._remembered = remembered
        self._offsets: dict[int, dict[str, int]] = {}

    def is_one(self, record: Record) -> bool:
        """Return whether this record was there before, at a lower offset, and remember it."""
        if not record.id:
            return False
        known = self._offsets.setdefault(record.partition, {})
        first = known.get(record.id)
        if first is not None and first < record.offset:
            return True
        known[record.id] = record.offset
        if len(known) > self._remembered:
            del known[next(iter(known))]
        return False
