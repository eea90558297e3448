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


def unwrap(
    topic: str, raw: tuple[int, int, bytes | None, bytes | None, Headers], installation: bytes
) -> tuple[Record, Blob | None]:
    """Return the record of (partition, offset, key, value, headers), and where its body is if that travels apart.

    Raises Foreign with the name of the other installation.
    """
    part, offset, key, value, headers = raw
    try:
        name, head = headers[0]
        version, at, owner = head.split(b"/", 2)
        if name != META or version != b"1":
            return _unreadable(topic, raw), None
        if owner != installation:
            raise Foreign(owner.decode(errors="replace"))
        if len(headers) == 1:
            return Record(topic, part, offset, _text(key), value or b"", at=int(at)), None
        if len(headers) == 2 and headers[1][0] == ID:
            return Record(topic, part, offset, _text(key), value or b"", headers[1][1].decode(), at=int(at)), None
        return _rest(topic, raw, int(at))
    except (ValueError, IndexError, AttributeError, TypeError):  # no header, or not what we write: TypeError is a null
        return _unreadable(topic, raw), None


def _rest(topic: str, raw: tuple[int, int, bytes | None, bytes | None, Headers], at: int) -> tuple[Record, Blob | None]:
    part, offset, key, value, headers = raw
    own = {name: text.decode() for name, text in headers[1:]}
    id, blob = own.pop(ID, ""), own.pop(BLOB, None)
    record = Record(topic, part, offset, _text(key), value or b"", id, own, at)
    if blob is None:
        return record, None
    size, reference = blob.split(" ", 1)
    return record, Blob(int(size), reference)


def _unreadable(topic: str, raw: tuple[int, int, bytes | None, bytes | None, Headers]) -> Record:
    """Return the record as it came, with the reason why nobody should try to understand it."""
    part, offset, key, value, headers = raw
    found = {name: (text or b"").decode(errors="replace") for name, text in headers}
    version = found.get(META, "").split("/", 1)[0]
    if CORRUPT in found:
        reason = "its checksum is wrong: it is damaged on the brokers' disks"
    elif META not in found:
        reason = f"it has no header `{META}`: something that is not Levada writes to this topic"
    elif version.isdecimal() and int(version) > VERSION:
        reason = f"its envelope has version {version}, this release reads {VERSION}: a newer Levada wrote it; upgrade"
    else:
        reason = f"its header `{META}` is `{found[META][:100]}`, which no release writes"
    return marked(Record(topic, part, offset, _text(key), value or b"", found.get(ID, ""), found), reason)


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


def _text(key: bytes | None) -> str:
    return "" if key is None else key.decode(errors="replace")


def filled(record: Record, body: bytes) -> Record:
    """Return the record with the body that travelled apart."""
    return Record(record.topic, record.partition, record.offset, record.key, body, record.id, record.headers, record.at)
