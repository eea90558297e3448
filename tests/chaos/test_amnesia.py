"""Kafka loses everything under load: one broker once in the short form, three brokers three times in the long one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from reliability import amnesia
from reliability.commands import told
from reliability.fleet import Services
from reliability.report import made
from reliability.trial import Trial

from levada.bus.broker.program import Program
from levada.cli.cluster import Counts

pytestmark = [pytest.mark.timeout(900), pytest.mark.xdist_group("chaos-network")]


def test_nothing_is_lost_when_kafka_forgets_everything(tmp_path: Path, kafka_program: Program, long_form: bool) -> None:
    counts = Counts(executor=2, scheduler=1, worker=2, api=2, webhook=1, indexer=1, brokers=3 if long_form else 1)
    fleet = Services(tmp_path / "fleet", bus="kafka", counts=counts, env=told(tmp_path))
    losses, seconds = (3, 15.0) if long_form else (1, 5.0)
    trial = Trial(fleet, tmp_path, seed=2024, rate=10)
    report = asyncio.run(amnesia.run(trial, losses, seconds, made("amnesia", 2024)))
    print(*report.lines(), sep="\n")
    assert report.passed, "\n".join(report.lines())
