"""What a record looks like on Kafka: the body as it is, and what belongs to it in headers.

    levada        1/1763889624123456/main    version of the envelope / appended at, epoch µs / installation
    levada-id     the record's natural key, if it has one
    levada-blob   4194304 kestra:///…        size and reference of the body, where it is in internal storage
    traceparent … whatever headers the record itself has

Versions only grow when an older reader could misread the record. A record of a newer version, or one that is no record of
Levada's at all, is handed on as it came, marked as unreadable, so that the reader can park it; it is never dropped here.
A record of another installation is not for us: two deployments share a topic prefix, which only a person can put right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import ConsumerRecord

from levada.bus.port import UNREADABLE, Record

VERSION = 1

META = "levada"
ID = "levada-id"
BLOB = "levada-blob"
#: Never sent: stands in the place of a record whose checksum is wrong.
CORRUPT = "levada-corrupt"

Headers = Sequence[tuple[str, bytes]]

#: What Kafka adds to each record of a batch, at most, besides key, value and headers.
OVERHEAD_BYTES = 70


class Foreign(Exception):
    """The record belongs to another installation."""


class Blob(NamedTuple):
    size: int
    reference: str


Opened = tuple[Record, Blob | None]


def meta(installation: str, at: int) -> tuple[str, bytes]:
    """Return the header that all records of one append share."""
    return META, f"{VERSION}/{at}/{installation}".encode()


def wrap(
    shared: tuple[str, bytes], id: str, own: Mapping[str, str], blob: Blob | None = None
) -> list[tuple[str, bytes]]:
    """Return the headers of a record."""
    headers = [shared]
    if id:
        headers.append((ID, id.encode()))
    if blob is not None:
        headers.append((BLOB, f"{blob.size} {blob.reference}".encode()))
    if own:
        headers.extend((name, value.encode()) for name, value in own.items())
    return headers


def size_of(key: bytes, value: bytes, headers: Headers) -> int:
    """Return how many bytes a record takes, at most."""
    return OVERHEAD_BYTES + len(key) + len(value) + sum(len(name) * 4 + len(text) + 10 for name, text in headers)


class Opener:
    """Opens the records of one topic. Those of one append have the same first header, which is read once."""

    def __init__(self, topic: str, installation: str) -> None:
        self._topic = topic
        self._installation = installation.encode()
        self._head: bytes = b""
        self._at = 0

    def __call__(self, raw: ConsumerRecord) -> Opened:
        """Return the record and where its body is if that travels apart. Raises Foreign with the other's name."""
        headers: Headers = raw.headers
        try:
            name, head = headers[0]
            if (head != self._head or name != META) and not self._learn(name, head):
                return _unreadable(self._topic, raw), None
            if raw.value is None:  # nothing of ours deletes
                return _unreadable(self._topic, raw), None
            if len(headers) == 2 and headers[1][0] == ID:
                id = headers[1][1].decode()
                return Record(
                    self._topic, raw.partition, raw.offset, raw.key.decode(), raw.value, id, {}, self._at
                ), None
            return self._rest(raw)
        except (ValueError, IndexError, AttributeError, TypeError):
            return _unreadable(
                self._topic, raw
            ), None  # no header, a null where there is none of ours, text that is none

    def _learn(self, name: str, head: bytes) -> bool:
        """Read the first header; return whether it is one of this version."""
        version, at, owner = head.split(b"/", 2)
        if name != META or version != b"1":
            return False
        if owner != self._installation:
            raise Foreign(owner.decode(errors="replace"))
        self._at = int(at)
        self._head = head
        return True

    def _rest(self, raw: ConsumerRecord) -> Opened:
        own = {name: text.decode() for name, text in raw.headers[1:]}
        id, blob = own.pop(ID, ""), own.pop(BLOB, None)
        record = Record(self._topic, raw.partition, raw.offset, raw.key.decode(), raw.value, id, own, self._at)
        if blob is None:
            return record, None
        size, reference = blob.split(" ", 1)
        return record, Blob(int(size), reference)


def _unreadable(topic: str, raw: ConsumerRecord) -> Record:
    """Return the record as it came, with the reason why nobody should try to understand it."""
    found = {name: (text or b"").decode(errors="replace") for name, text in raw.headers}
    version = found.get(META, "").split("/", 1)[0]
    if CORRUPT in found:
        reason = "its checksum is wrong: it is damaged on the brokers' disks"
    elif META not in found:
        reason = f"it has no header `{META}`: something that is not Levada writes to this topic"
    elif version.isdecimal() and int(version) > VERSION:
        reason = f"its envelope has version {version}, this release reads {VERSION}: a newer Levada wrote it; upgrade"
    else:
        reason = f"its header `{META}` is `{found[META][:100]}`, or its others are not what a release writes"
    key = "" if raw.key is None else raw.key.decode(errors="replace")
    record = Record(topic, raw.partition, raw.offset, key, raw.value or b"", found.get(ID, ""), found)
    return marked(record, reason)


def marked(record: Record, reason: str) -> Record:
    """Return the record, marked as one that must be parked."""
    return Record(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.body,
        record.id,
        {**record.headers, UNREADABLE: reason},
        record.at,
    )


def filled(record: Record, body: bytes) -> Record:
    """Return the record with the body that travelled apart."""
    return Record(record.topic, record.partition, record.offset, record.key, body, record.id, record.headers, record.at)
