"""Where log lines, metrics and audit records are put: straight into the tables, or on the bus for the indexers.

Whoever has lines (the worker's buffer, the gateway's log route, the audit trail) writes to `platform.log_sink` or
`platform.audit_sink` and need not know which it is; `levada/runtime/platform.py` chooses:

    StoreSink   one process with everything in it (`levada dev`, `levada standalone`): the tables, no detour
    BusSink     separate services: topics `logs`, `metrics`, `audit`; an indexer writes them in large batches

A record on the bus carries a batch: the JSON array of entries of one execution (of one object for audit records), keyed by
its id, so that the lines of an execution keep their order. A write that raised Transient may or may not have happened and
is to be repeated with the same entries: the record's id is the hash of its body, and an indexer drops the repeats it knows.
`decode_*` are the way back. Nothing here buffers or waits for more; batching is up to the callers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol, TypeVar

import msgspec

from levada.bus.port import AUDIT, LOGS, METRICS, Bus, Outgoing
from levada.model.audit import AuditEntry
from levada.model.jobs import LogEntry, MetricEntry

Entry = TypeVar("Entry", LogEntry, MetricEntry, AuditEntry)

#: A record is closed when its body has this many bytes, well below what a message may have on its way.
RECORD_BYTES = 128 * 1024

_encode = msgspec.json.Encoder().encode
#: The way back; they raise ValueError for what they can not read.
decode_logs = msgspec.json.Decoder(list[LogEntry]).decode
decode_metrics = msgspec.json.Decoder(list[MetricEntry]).decode
decode_audit = msgspec.json.Decoder(list[AuditEntry]).decode


class LogSink(Protocol):
    """Both methods return when the entries are durable, and raise Transient while whatever is behind is away."""

    async def write_logs(self, entries: Sequence[LogEntry]) -> None: ...

    async def write_metrics(self, entries: Sequence[MetricEntry]) -> None: ...


class AuditSink(Protocol):
    """Returns when the records are durable; raises Transient while whatever is behind is away."""

    async def write_audit(self, entries: Sequence[AuditEntry]) -> None: ...


class Writes(Protocol):
    """A table: the stores of `store/port.py`."""

    async def write(self, entries: Sequence[Any]) -> None: ...


class StoreSink:
    """`LogSink` and `AuditSink` over the tables."""

    def __init__(self, logs: Writes, metrics: Writes, audit: Writes) -> None:
        self._logs = logs
        self._metrics = metrics
        self._audit = audit

    async def write_logs(self, entries: Sequence[LogEntry]) -> None:
        await self._logs.write(entries)

    async def write_metrics(self, entries: Sequence[MetricEntry]) -> None:
        await self._metrics.write(entries)

    async def write_audit(self, entries: Sequence[AuditEntry]) -> None:
        await self._audit.write(entries)


class BusSink:
    """`LogSink` and `AuditSink` over the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def write_logs(self, entries: Sequence[LogEntry]) -> None:
        await self._append(LOGS, entries, _execution)

    async def write_metrics(self, entries: Sequence[MetricEntry]) -> None:
        await self._append(METRICS, entries, _execution)

    async def write_audit(self, entries: Sequence[AuditEntry]) -> None:
        await self._append(AUDIT, entries, _object)

    async def _append(self, topic: str, entries: Sequence[Entry], key_of: Callable[[Entry], str]) -> None:
        if entries:
            await self._bus.append(records(topic, entries, key_of))


def records(topic: str, entries: Sequence[Entry], key_of: Callable[[Entry], str]) -> list[Outgoing]:
    """Return the entries as records: one or more per key, in order. The same entries always give the same records."""
    out = []
    for key, group in groupby(sorted(entries, key=key_of), key=key_of):
        for body in _bodies(group):
            out.append(Outgoing(topic, key, body, hashlib.blake2b(body, digest_size=12).hexdigest()))
    return out


def _bodies(entries: Iterator[Any]) -> Iterator[bytes]:
    """Cut into JSON arrays of about RECORD_BYTES; an entry that is larger alone is an array of its own."""
    texts: list[bytes] = []
    size = 0
    for entry in entries:
        text = _encode(entry)
        if texts and size + len(text) > RECORD_BYTES:
            yield b"[" + b",".join(texts) + b"]"
            texts, size = [], 0
        texts.append(text)
        size += len(text) + 1
    yield b"[" + b",".join(texts) + b"]"


_execution = attrgetter("execution_id")


def _object(entry: AuditEntry) -> str:
    return f"{entry.kind}/{entry.object or entry.who}"
