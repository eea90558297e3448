from __future__ import annotations

import asyncio
import time

import pytest

from levada.runtime.clock import SystemClock
from levada.runtime.watchdog import LoopWatchdog


async def test_a_loop_that_stands_still_is_told_with_the_culprits_name(caplog: pytest.LogCaptureFixture) -> None:
    watchdog = LoopWatchdog(SystemClock(), standstill_s=0.1)
    watching = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0.05)
    the_culprit()
    await asyncio.sleep(0.15)
    watching.cancel()
    await asyncio.wait([watching])
    assert watchdog.standstills == 1
    assert watchdog.worst_s > 0.2
    assert "the_culprit" in caplog.text


async def test_a_loop_that_runs_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    watchdog = LoopWatchdog(SystemClock(), standstill_s=5.0)
    watching = asyncio.create_task(watchdog.run())
    await asyncio.sleep(0.3)
    watching.cancel()
    await asyncio.wait([watching])
    assert watchdog.standstills == 0
    assert caplog.text == ""


def the_culprit() -> None:
    time.sleep(0.5)
