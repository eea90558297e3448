"""The short forms of the gremlin: a few of each fault, under load, in one process and in many."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from reliability import gremlin
from reliability.fleet import Standalone
from reliability.gremlin import Orders
from reliability.report import made
from reliability.trial import Trial

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("chaos-gremlin")]


def test_one_process_is_killed_and_stopped_and_loses_its_database(tmp_path: Path) -> None:
    orders = Orders(kills=3, postgres=2, terms=1, seconds=15)
    fleet = Standalone(tmp_path / "fleet", env={"LEVADA_WORKER_TEMP_DIR": str(tmp_path / "tmp")})
    trial = Trial(fleet, tmp_path, seed=2024, rate=15)
    report = asyncio.run(gremlin.run(trial, orders, made("gremlin", 2024)))
    assert report.passed, "\n".join(report.lines())
    assert report.figures["task runs in the ledger"] > 10
