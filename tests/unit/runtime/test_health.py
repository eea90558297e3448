from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from levada.runtime.clock import SystemClock
from levada.runtime.health import Health


class FakeClock(SystemClock):
    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


async def well() -> Mapping[str, Any]:
    return {"version": "18"}


async def ill() -> None:
    raise ConnectionError("connection refused")


async def test_all_is_well_without_checks() -> None:
    health = Health(FakeClock())
    assert await health.liveness() == (True, {"name": "levada", "status": "UP", "details": {}})
    assert (await health.readiness())[0]


async def test_a_failing_check_makes_unready_but_not_dead(caplog: pytest.LogCaptureFixture) -> None:
    health = Health(FakeClock())
    health.register("postgres", ill)
    health.register("loop", well, kind="liveness")
    assert (await health.liveness())[0]
    assert await health.readiness() == (
        False,
        {
            "name": "levada",
            "status": "DOWN",
            "details": {
                "postgres": {
                    "name": "postgres",
                    "status": "DOWN",
                    "details": {"error": "ConnectionError: connection refused"},
                }
            },
        },
    )
    assert "health check postgres fails" in caplog.text
    up, document = await health.all()
    assert not up
    assert document["details"]["loop"] == {"name": "loop", "status": "UP", "details": {"version": "18"}}


async def test_a_check_that_hangs_has_failed() -> None:
    health = Health(FakeClock())

    async def hang() -> None:
        await asyncio.Event().wait()

    health.register("bus", hang, timeout_s=0.01)
    _, document = await health.readiness()
    assert document["details"]["bus"]["details"] == {"error": "no answer within 0.01 s"}


async def test_an_answer_is_kept_for_a_second_however_many_ask() -> None:
    clock, asked = FakeClock(), 0

    async def check() -> None:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)

    health = Health(clock)
    health.register("postgres", check)
    await asyncio.gather(*(health.readiness() for _ in range(50)))
    assert asked == 1
    clock.now_s = 1.0
    await health.readiness()
    assert asked == 2


async def test_a_no_is_kept_for_a_tenth_of_that() -> None:
    clock, answers = FakeClock(), [ill, well]
    health = Health(clock)
    health.register("postgres", lambda: answers[0]())
    assert not (await health.readiness())[0]
    del answers[0]
    clock.now_s = 0.05
    assert not (await health.readiness())[0]
    clock.now_s = 0.1
    assert (await health.readiness())[0]


async def test_a_process_that_drains_is_alive_and_unready() -> None:
    health = Health(FakeClock())
    health.register("postgres", well)
    health.drain("SIGTERM")
    assert (await health.liveness())[0]
    up, document = await health.readiness()
    assert not up
    assert document["details"]["lifecycle"]["details"] == {"reason": "SIGTERM"}


async def test_a_check_that_recovers_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock, answers = FakeClock(), [ill, ill, well, well]

    async def check() -> Any:
        return await answers.pop(0)()

    health = Health(clock)
    health.register("postgres", check)
    for second in range(4):
        clock.now_s = float(second)
        await health.readiness()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
