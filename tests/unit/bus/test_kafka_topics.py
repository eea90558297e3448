"""What topics there should be, and what is said about those that are otherwise."""

from __future__ import annotations

import dataclasses

import pytest

from levada.bus.kafka import KafkaSettings
from levada.bus.kafka.topics import Kind, Topic, difference, wanted
from levada.bus.port import TOPICS

SETTINGS = KafkaSettings(("b:9092",), topic_prefix="one.", replication_factor=3, retention_s=86_400)


def found(topics: list[Topic]) -> dict[str, Topic]:
    """The topics as a broker would report them, with settings of its own."""
    return {
        one.name: dataclasses.replace(one, settings={**one.settings, "segment.bytes": "1073741824"}) for one in topics
    }


def test_every_topic_of_the_port_is_wanted_with_its_prefix() -> None:
    topics = wanted(SETTINGS, 8)
    assert [one.name for one in topics] == [f"one.{name}" for name in TOPICS]
    assert {(one.partitions, one.replication) for one in topics} == {(8, 3)}
    assert {one.settings["cleanup.policy"] for one in topics} == {"delete"}
    assert topics[0].settings["retention.ms"] == "86400000"
    control = next(one for one in topics if one.name == "one.control")
    assert control.settings["retention.ms"] == "3600000"


@pytest.mark.parametrize(("replicas", "in_sync"), [(1, "1"), (2, "1"), (3, "2"), (5, "2")])
def test_one_replica_may_always_be_missing(replicas: int, in_sync: str) -> None:
    settings = dataclasses.replace(SETTINGS, replication_factor=replicas)
    assert {one.settings["min.insync.replicas"] for one in wanted(settings, 1)} == {in_sync}


@pytest.mark.parametrize("limit", [1024, 256 * 1024, 8 * 1024 * 1024])
def test_a_topic_takes_the_largest_message_and_the_largest_batch(limit: int) -> None:
    from levada.bus.kafka.producer import BATCH_BYTES

    assert all(int(one.settings["max.message.bytes"]) > max(limit, BATCH_BYTES) for one in wanted(SETTINGS, 1, limit))


def test_topics_as_they_should_be_are_no_difference() -> None:
    topics = wanted(SETTINGS, 8)
    assert difference(topics, found(topics)) == []


def test_what_is_missing_is_said_with_what_it_would_be() -> None:
    topics = wanted(SETTINGS, 8)
    present = found(topics)
    del present["one.logs"]
    (one,) = difference(topics, present)
    assert (one.topic, one.kind, one.should_be, one.mendable) == (
        "one.logs",
        Kind.MISSING,
        "8 partitions, 3 replicas",
        True,
    )


def test_another_number_of_partitions_or_replicas_needs_a_person() -> None:
    topics = wanted(SETTINGS, 8)
    present = found(topics)
    present["one.audit"] = dataclasses.replace(present["one.audit"], partitions=4, replication=1)
    partitions, replicas = difference(topics, present)
    assert (partitions.kind, partitions.is_now, partitions.should_be) == (Kind.PARTITIONS, "4", "8")
    assert "set bus.partitions to 4" in partitions.remedy
    assert (replicas.kind, replicas.is_now, replicas.should_be) == (Kind.REPLICATION, "1", "3")
    assert "kafka-reassign-partitions" in replicas.remedy
    assert not partitions.mendable
    assert not replicas.mendable


def test_a_setting_that_differs_can_be_mended() -> None:
    topics = wanted(SETTINGS, 8)
    present = found(topics)
    present["one.commands"] = dataclasses.replace(
        present["one.commands"], settings={**present["one.commands"].settings, "cleanup.policy": "compact"}
    )
    (one,) = difference(topics, present)
    assert (one.what, one.is_now, one.should_be, one.mendable) == ("cleanup.policy", "compact", "delete", True)
