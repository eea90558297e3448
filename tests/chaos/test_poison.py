"""Malformed messages on every topic amid load: what cannot be read is a dead letter, and nobody else notices."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from reliability import poison
from reliability.commands import told
from reliability.fleet import Services
from reliability.report import made
from reliability.trial import Trial

from levada.bus.broker.program import Program
from levada.bus.port import TOPICS
from levada.cli.cluster import Counts

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("chaos-network")]


def test_malformed_messages_stop_no_partition(tmp_path: Path, kafka_program: Program) -> None:
    counts = Counts(executor=1, scheduler=1, worker=1, api=1, webhook=1, indexer=1, brokers=1)
    fleet = Services(tmp_path / "fleet", bus="kafka", counts=counts, env=told(tmp_path))
    trial = Trial(fleet, tmp_path, seed=2024, rate=8)
    report = asyncio.run(poison.run(trial, 400, 4.0, made("poison", 2024)))
    assert report.passed, "\n".join(report.lines())
    assert report.figures["had to be dead letters, and are"] > 200


def test_what_has_to_become_of_a_message_is_said_in_advance() -> None:
    chance = random.Random(1)
    drawn = [poison.draw(chance, number, kafka=True, installation="x", topics=TOPICS) for number in range(600)]
    assert {one.kind for one in drawn} >= {*poison.WRAPPED, *poison.KINDS} - set(poison.RARE)
    assert {one.expected for one in drawn if one.topic == "control"} == {poison.UNREAD}
    assert {one.expected for one in drawn if one.kind in poison.WRAPPED and one.topic != "control"} == {poison.DEAD}
    assert len({one.key for one in drawn if one.kind != "strange key"}) == sum(
        one.kind != "strange key" for one in drawn
    )
