"""What a record looks like on Kafka, there and back, and what becomes of records that nobody of ours has written."""

from __future__ import annotations

import re

import pytest
from aiokafka import ConsumerRecord

from levada.bus.kafka import envelope
from levada.bus.kafka.envelope import Blob, Foreign, Opener, meta, size_of, wrap
from levada.bus.port import UNREADABLE, Record


def raw(
    headers: list[tuple[str, bytes | None]], *, key: bytes | None = b"k", value: bytes | None = b"body"
) -> ConsumerRecord:
    return ConsumerRecord("t", 3, 7, 0, 0, key, value, None, len(key or b""), len(value or b""), tuple(headers))


@pytest.fixture
def opened() -> Opener:
    return Opener("commands", "main")


@pytest.mark.parametrize(
    ("id", "own"), [("", {}), ("e1/3", {}), ("", {"traceparent": "00-ab"}), ("e1/3", {"traceparent": "größe", "b": ""})]
)
def test_what_is_wrapped_is_opened_whole(opened: Opener, id: str, own: dict[str, str]) -> None:
    headers = wrap(meta("main", 1_763_889_624_123_456), id, own)
    record, blob = opened(raw(headers, key="schlüssel".encode(), value=b"\x00\xff"))
    assert record == Record("commands", 3, 7, "schlüssel", b"\x00\xff", id, own, 1_763_889_624_123_456)
    assert blob is None


def test_records_of_several_appends_and_installations_with_odd_names_are_kept_apart() -> None:
    opened = Opener("commands", "a/b")
    assert [opened(raw(wrap(meta("a/b", at), "x", {})))[0].at for at in (1, 2, 1)] == [1, 2, 1]
    with pytest.raises(Foreign, match=r"^a$"):
        opened(raw(wrap(meta("a", 1), "x", {})))


def test_a_large_body_leaves_its_reference(opened: Opener) -> None:
    headers = wrap(meta("main", 5), "id", {"traceparent": "x"}, Blob(1_000_000, "kestra:///a b"))
    record, blob = opened(raw(headers, value=b""))
    assert blob == Blob(1_000_000, "kestra:///a b")
    assert (record.id, record.headers) == ("id", {"traceparent": "x"})
    assert envelope.filled(record, b"all of it").body == b"all of it"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "something that is not Levada"),
        ([("other", b"x")], "something that is not Levada"),
        ([("levada", b"2/5/main")], "version 2, this release reads 1"),
        ([("levada", b"2/whatever is there then")], "version 2"),
        ([("levada", b"")], "no release writes|what a release writes"),
        ([("levada", None)], "what a release writes"),
        ([("levada", b"1/soon/main")], "what a release writes"),
        ([("levada", b"1/5")], "what a release writes"),
        ([("levada", b"1/5/main"), ("levada-blob", b"nonsense")], "what a release writes"),
        ([("levada", b"1/5/main"), ("x", b"\xff\xfe"), ("y", b"")], "what a release writes"),
        ([("levada", b"1/5/main"), ("levada-id", b"\xff\xfe")], "what a release writes"),
        ([(envelope.CORRUPT, b"")], "checksum"),
    ],
)
def test_what_can_not_be_opened_is_handed_on_and_marked(
    opened: Opener, headers: list[tuple[str, bytes | None]], reason: str
) -> None:
    record, blob = opened(raw(headers, key=None, value=b"\xff"))
    assert (record.partition, record.offset, record.body, blob) == (3, 7, b"\xff", None)
    assert re.search(reason, record.headers[UNREADABLE])


def test_a_record_without_a_body_or_with_a_broken_key_is_marked_too(opened: Opener) -> None:
    good = wrap(meta("main", 5), "id", {})
    assert UNREADABLE in opened(raw(good, value=None))[0].headers
    assert UNREADABLE in opened(raw(good, key=b"\xff"))[0].headers
    assert UNREADABLE in opened(raw(good, key=None))[0].headers
    assert UNREADABLE not in opened(raw(good))[0].headers


def test_the_size_that_is_counted_is_never_too_small() -> None:
    from aiokafka.producer.message_accumulator import BatchBuilder

    for number in (0, 3, 40):
        headers = wrap(meta("main", 1 << 50), "i" * number, {f"h{n}": "v" * number for n in range(number)})
        batch = BatchBuilder(1 << 20, 0)
        empty = batch.size()
        batch.append(timestamp=1, key=b"k" * number, value=b"v" * number, headers=headers)
        assert batch.size() - empty <= size_of(b"k" * number, b"v" * number, headers)
