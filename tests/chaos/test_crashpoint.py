"""Every failpoint of the code is in the list, and at a sample of them processes fail under load without losing anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from reliability import crashpoint
from reliability.crashpoint import POINTS
from reliability.fleet import Services, Standalone
from reliability.report import made
from reliability.trial import Trial

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("chaos-crashpoint")]


def test_every_failpoint_of_the_code_is_in_the_list() -> None:
    assert {point.name for point in POINTS} == crashpoint.in_the_code()
    assert len({point.name for point in POINTS}) == len(POINTS)


def test_a_sample_tries_each_point_before_any_twice() -> None:
    wanted = crashpoint.plans({"executor", "api", "worker", "webhook", "scheduler", "indexer"})
    assert len(wanted) == 4 * (len(POINTS) + 2)
    drawn = crashpoint.sample(wanted, len(POINTS), 1)
    assert {plan.point.name for plan in drawn} == {point.name for point in POINTS}
    assert drawn == crashpoint.sample(wanted, len(POINTS), 1)


def test_one_process_fails_at_some_failpoints(tmp_path: Path) -> None:
    fleet = Standalone(tmp_path / "fleet", env={"LEVADA_WORKER_TEMP_DIR": str(tmp_path / "tmp")})
    trial = Trial(fleet, tmp_path, seed=41, rate=15)
    report = asyncio.run(crashpoint.run(trial, made("crashpoint", 41), 6))
    assert report.passed, "\n".join(report.lines())


def test_services_fail_at_some_failpoints(tmp_path: Path) -> None:
    fleet = Services(tmp_path / "fleet", env={"LEVADA_WORKER_TEMP_DIR": str(tmp_path / "tmp")})
    trial = Trial(fleet, tmp_path, seed=42, rate=15)
    report = asyncio.run(crashpoint.run(trial, made("crashpoint", 42), 8))
    assert report.passed, "\n".join(report.lines())
