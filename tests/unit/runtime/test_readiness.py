from __future__ import annotations

from typing import Any

import pytest

from levada.model.errors import Transient
from levada.runtime import metrics, readiness
from levada.runtime.clock import SystemClock
from levada.runtime.platform import Platform
from levada.runtime.readiness import CaughtUp


class Ends:
    """A bus of which only the ends matter."""

    def __init__(self, **ends: int) -> None:
        self.now = {int(name[1:]): end for name, end in ends.items()}
        self.asked = 0

    async def ends(self, topic: str) -> dict[int, int]:
        self.asked += 1
        return dict(self.now)


async def test_caught_up_means_what_was_there_before_is_applied() -> None:
    bus, positions = Ends(p0=10, p1=5), {0: 8, 1: 5}
    caught_up = CaughtUp(bus, "commands", lambda: positions)  # type: ignore[arg-type]
    with pytest.raises(Transient, match="2 records of commands"):
        await caught_up()
    bus.now[0] = 1000  # what came later does not count
    positions[0] = 10
    assert await caught_up() == {"partitions": 2}
    assert await caught_up() == {"partitions": 2}
    assert bus.asked == 1


async def test_a_partition_that_is_new_is_looked_at_again() -> None:
    bus = Ends(p0=10, p1=5)
    positions = {0: 10}
    caught_up = CaughtUp(bus, "commands", lambda: positions)  # type: ignore[arg-type]
    await caught_up()
    positions[1] = 0
    with pytest.raises(Transient, match="5 records"):
        await caught_up()
    del positions[1]
    assert await caught_up() == {"partitions": 1}
    positions.clear()
    assert await caught_up() == {"partitions": 0}


class Away:
    async def ends(self, topic: str) -> dict[int, int]:
        raise Transient("Kafka can not be reached")


async def test_who_reads_the_bus_needs_it_and_who_only_accepts_does_not() -> None:
    away: Any = Away()
    with pytest.raises(Transient, match="can not be reached"):
        await readiness.bus(away)()
    said = await readiness.bus(away, needed=False)()
    assert said == {"warning": "the bus is away, what is accepted waits in the database: Kafka can not be reached"}


class Clocked:
    """A database with a clock of its own."""

    def __init__(self, skew_s: float) -> None:
        self.skew_s, self.away = skew_s, False
        self.full: str | None = None

    def short_of_disk(self, within_s: float) -> str | None:
        return self.full

    async def fetchval(self, sql: str) -> int:
        if self.away:
            raise Transient("the server closed the connection")
        return SystemClock().now_us() - int(self.skew_s * 1_000_000)


def checked(skew_s: float) -> tuple[Platform, Clocked]:
    platform, database = Platform.in_memory(SystemClock()), Clocked(skew_s)
    fake: Any = database
    platform.database = fake
    readiness.register(platform)
    return platform, database


@pytest.mark.parametrize(("skew_s", "way"), [(30.0, "ahead of"), (-30.0, "behind")])
async def test_a_clock_that_is_wrong_makes_unready_and_says_which_and_by_how_much(skew_s: float, way: str) -> None:
    platform, _ = checked(skew_s)
    up, document = await platform.health.readiness()
    assert not up
    assert f"30.0 s {way} the database's; let NTP" in document["details"]["database"]["details"]["error"]
    assert metrics.CLOCK_SKEW.get() == pytest.approx(skew_s, abs=0.5)
    assert (await platform.health.liveness())[0]


async def test_a_database_that_is_away_makes_unready_and_the_bus_is_asked_too() -> None:
    platform, database = checked(0.5)
    up, document = await platform.health.readiness()
    assert up
    assert document["details"]["bus"]["details"] == {"partitions": 8}
    assert metrics.DATABASE_UP.get() == 1
    platform, database = checked(0.5)
    database.away = True
    up, document = await platform.health.readiness()
    assert not up
    assert "closed the connection" in document["details"]["database"]["details"]["error"]
    assert metrics.DATABASE_UP.get() == 0


async def test_a_database_without_space_makes_unready_though_it_answers() -> None:
    platform, database = checked(0.0)
    database.full = "Postgres has no space left on its disk; free some"
    up, document = await platform.health.readiness()
    assert not up
    assert "no space left on its disk" in document["details"]["database"]["details"]["error"]
