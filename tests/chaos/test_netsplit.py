"""Lines are cut under load: in the short form three kinds of cut over Kafka, in the long one every case on both buses."""

from __future__ import annotations

import asyncio
from pathlib import Path

import namespaces
import pytest
from reliability import netsplit
from reliability.commands import told
from reliability.netsplit import Case
from reliability.report import made
from reliability.trial import Trial
from reliability.wires import Wired, broker_hosts

from levada.bus.broker.program import Program

pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("chaos-network")]

SHORT = (netsplit.CASES[0], netsplit.CASES[1], netsplit.KAFKA_CASES[0])


def test_nothing_is_lost_by_lines_that_are_cut(tmp_path: Path, kafka_program: Program, long_form: bool) -> None:
    chosen, seconds = (netsplit.cases(True), 20.0) if long_form else (SHORT, 6.0)
    _hold(Wired(tmp_path / "fleet", bus="kafka", env=told(tmp_path)), tmp_path, chosen, seconds)


def test_nothing_is_lost_where_the_bus_is_in_postgres(tmp_path: Path, long_form: bool) -> None:
    chosen, seconds = (netsplit.cases(False), 20.0) if long_form else (netsplit.CASES[2:4], 6.0)
    _hold(Wired(tmp_path / "fleet", bus="postgres", env=told(tmp_path)), tmp_path, chosen, seconds)


@pytest.mark.skipif(namespaces.unavailable() is not None, reason=str(namespaces.unavailable()))
def test_nothing_is_lost_when_a_broker_is_isolated(tmp_path: Path, kafka_program: Program, long_form: bool) -> None:
    chosen, seconds = (netsplit.BROKER_CASES, 20.0) if long_form else (netsplit.BROKER_CASES[1:], 8.0)
    with broker_hosts(3) as network:
        fleet = Wired(tmp_path / "fleet", bus="kafka", brokers=3, env=told(tmp_path), network=network)
        _hold(fleet, tmp_path, chosen, seconds)


def _hold(fleet: Wired, folder: Path, chosen: tuple[Case, ...], seconds: float) -> None:
    trial = Trial(fleet, folder, seed=2024, rate=10)
    report = asyncio.run(netsplit.run(trial, chosen, seconds, made("netsplit", 2024)))
    print(*report.lines(), sep="\n")
    assert report.passed, "\n".join(report.lines())
