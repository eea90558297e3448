"""Clocks that jump: whatever the time does, every date is fired once, and none is left out (I6 of the invariants)."""

from __future__ import annotations

import random
from zoneinfo import ZoneInfo

import pytest
from scheduling import Desk, us

from levada.engine import cron

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
CRONS = [
    "*/10 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "15 */6 * * *",
    "0 0 * * SUN",
    "@daily",
    "59 23 L * *",
]
SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
JUMPS = [SECOND, -SECOND, 7 * SECOND, HOUR, -HOUR, DAY, -DAY, HOUR // 2, HOUR // 3, HOUR // 6]


@pytest.mark.parametrize("start", ["2026-03-28T12:00:30Z", "2026-10-24T12:00:30Z"])
@pytest.mark.parametrize("seed", range(2))
async def test_two_hundred_schedules_under_a_jumping_clock(start: str, seed: int) -> None:
    chance = random.Random(seed)
    desk = Desk(start, catch_up=100_000)
    kinds = [(chance.choice(CRONS), chance.choice(ZONES)) for _ in range(200)]
    listed = "\n".join(
        f"- {{id: s{n}, type: core.trigger.Schedule, cron: '{text}', timezone: {zone}, allowConcurrent: true}}"
        for n, (text, zone) in enumerate(kinds)
    )
    await desk.save(listed)
    latest = desk.clock.now
    for _ in range(60):
        desk.clock.now = max(desk.clock.now + chance.choice(JUMPS), us(start))
        latest = max(latest, desk.clock.now)
        await desk.at(None)
    fired: dict[str, list[int]] = {}
    for sent in desk.sent:
        assert sent.trigger is not None
        assert sent.scheduled is not None
        assert sent.failure is None
        fired.setdefault(sent.trigger.id, []).append(sent.scheduled)
    for n, (text, zone) in enumerate(kinds):
        assert fired.get(f"s{n}", []) == dates(text, zone, us(start), latest), (text, zone)


def dates(text: str, zone: str, first: int, last: int) -> list[int]:
    out: list[int] = []
    at = cron.parse(text).after(first - 1, ZoneInfo(zone))
    while at is not None and at <= last:
        out.append(at)
        at = cron.parse(text).after(at, ZoneInfo(zone))
    return out
