"""The tail gives what was appended here lately, and says when it can not."""

from __future__ import annotations

from levada.bus import tail
from levada.bus.port import Record
from levada.bus.tail import Tail


def record(offset: int, part: int = 0, body: bytes = b"x") -> Record:
    return Record("t", part, offset, "k", body)


def followed(*records: Record) -> Tail:
    """A tail that a reader had read to the end of before these came."""
    made = Tail()
    made.read("t", {0: 0}, 10)
    made.add(records)
    return made


def offsets(records: list[Record]) -> list[int]:
    return [one.offset for one in records]


def test_a_reader_that_keeps_up_needs_no_database() -> None:
    made = followed(record(0), record(1))
    found, complete = made.read("t", {0: 0}, 10)
    assert (offsets(found), complete) == ([0, 1], True)
    assert made.read("t", {0: 2}, 10) == ([], True)


def test_what_nobody_reads_is_not_remembered() -> None:
    made = Tail()
    assert made.add([record(0)]) == {"t"}
    assert made.read("t", {0: 0}, 10) == ([], False)


def test_a_position_before_the_run_needs_the_database() -> None:
    made = followed(record(5), record(6))
    assert made.read("t", {0: 3}, 10) == ([], False)


def test_a_foreign_record_in_between_starts_the_run_anew() -> None:
    made = followed(record(0), record(1), record(4))
    assert made.read("t", {0: 0}, 10) == ([], False)
    found, complete = made.read("t", {0: 4}, 10)
    assert (offsets(found), complete) == ([4], True)


def test_flushes_reported_out_of_order_leave_no_hole() -> None:
    made = followed(record(0), record(3), record(2), record(4))
    found, _ = made.read("t", {0: 3}, 10)
    assert offsets(found) == [3, 4]


def test_a_partition_of_unknown_end_is_asked_for() -> None:
    made = followed(record(0))
    found, complete = made.read("t", {0: 0, 1: 0}, 10)
    assert (offsets(found), complete) == ([0], False)
    made.ends_at("t", 1, 0)
    assert made.read("t", {0: 1, 1: 0}, 10) == ([], True)


def test_a_limit_is_shared_by_the_partitions() -> None:
    made = followed(*[record(number, part) for number in range(10) for part in (0, 1)])
    found, _ = made.read("t", {0: 0, 1: 0}, 6)
    assert [(one.partition, one.offset) for one in found] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_a_run_is_bounded_in_records_and_bytes() -> None:
    made = followed(*[record(number) for number in range(tail.LONGEST_RUN + 10)])
    assert made.read("t", {0: 0}, 10) == ([], False)
    assert offsets(made.read("t", {0: 10}, 1)[0]) == [10]
    big = followed(*[record(number, body=bytes(tail.LARGEST_RUN_BYTES // 2)) for number in range(4)])
    assert offsets(big.read("t", {0: 2}, 10)[0]) == [2, 3]


def test_what_one_partition_does_not_need_goes_to_the_others() -> None:
    assert tail.shared({"a": 100, "b": 1, "c": 100}, 30) == {"a": 19, "b": 1, "c": 10}
    assert tail.shared({"a": 3}, 10) == {"a": 3}
    assert tail.shared({}, 10) == {}
