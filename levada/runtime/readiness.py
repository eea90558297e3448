"""Checks of readiness that several services share. Each raises with a text that says what is wrong and what helps.

`register` adds those that every process with a platform has: the database answers, its clock and ours agree, the bus
answers, files can be stored, there is space on the disks. A service adds what is its own: partitions assigned, what was
there before it came is applied (`CaughtUp`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from levada.bus.port import COMMANDS, Bus
from levada.model.errors import Transient
from levada.runtime import metrics
from levada.runtime.health import Check
from levada.runtime.platform import Platform
from levada.runtime.surroundings import DiskSpace, Place, agree

BUS_TIMEOUT_S = 1.5
STORAGE_TIMEOUT_S = 4.0
"""More than an object store is given to answer, so that its own text says what is wrong."""

DISK_FULL_S = 4.0
"""For so long a process is unready after Postgres had no space for what it wanted to write."""


def register(platform: Platform) -> None:
    """Add the checks that every process over this platform has."""
    if platform.database is not None:
        platform.health.register("database", database(platform))
    platform.health.register("bus", bus(platform.bus, needed=platform.ingress is None))
    platform.health.register("storage", platform.files.check, timeout_s=STORAGE_TIMEOUT_S)
    places = written_to(platform)
    if places:
        space = DiskSpace(places, platform.config.limits.free_disk, platform.clock)
        platform.health.register("disk", space.check)


def written_to(platform: Platform) -> list[Place]:
    """Return the folders of this machine that the platform itself writes to."""
    places = []
    if platform.database is not None and not platform.several:
        data = platform.config.data_dir.resolve()
        places.append(Place("the data folder", data, "data_dir"))
        wal = data / "postgres" / "data" / "pg_wal"
        if wal.is_symlink():
            places.append(Place("Postgres's write-ahead log", wal.resolve(), "the link pg_wal"))
    storage = urlsplit(platform.config.storage_url)
    if platform.database is not None and storage.scheme == "file":
        places.append(Place("internal storage", Path(unquote(storage.path)), "storage.url"))
    return places


def require_bus(platform: Platform) -> None:
    """Be unready while the bus is away, for services that read it."""
    platform.health.register("bus", bus(platform.bus))


def database(platform: Platform) -> Check:
    """The database answers, has room for what we write, and its clock agrees with ours."""

    async def check() -> Mapping[str, Any]:
        assert platform.database is not None
        asked = platform.clock.now_us()
        try:
            theirs = await platform.database.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8")
        except Transient:
            metrics.DATABASE_UP.set(0)
            raise
        metrics.DATABASE_UP.set(1)
        answered = platform.clock.now_us()
        skew_s = (asked + (answered - asked) / 2 - theirs) / 1_000_000
        metrics.CLOCK_SKEW.set(skew_s)
        agree(skew_s, "the database's")
        full = platform.short_of_disk(DISK_FULL_S)
        if full is not None:
            raise Transient(full)
        return {"clockSkewSeconds": round(skew_s, 3), "answerSeconds": round((answered - asked) / 1_000_000, 4)}

    return check


def bus(one: Bus, *, needed: bool = True) -> Check:
    """The bus answers, and has the partitions that are configured.

    Not `needed`: what is accepted here waits in the database while the bus is away, so the process still wants work.
    """

    async def check() -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(BUS_TIMEOUT_S):
                return {"partitions": len(await one.ends(COMMANDS))}
        except (Transient, TimeoutError) as error:
            if needed:
                raise Transient(str(error) or f"the bus does not answer within {BUS_TIMEOUT_S:g} s") from error
            return {"warning": f"the bus is away, what is accepted waits in the database: {error or 'no answer'}"}

    return check


class CaughtUp:
    """What was on the bus when this process took a partition is applied. Once true it stays true.

    A process that is merely busy is not unready: taking it away would not make it less so.
    """

    def __init__(self, bus: Bus, topic: str, positions: Callable[[], Mapping[int, int]]) -> None:
        """`positions`: how far the partitions that are owned are applied."""
        self._bus = bus
        self._topic = topic
        self._positions = positions
        self._targets: dict[int, int] = {}
        self._reached: set[int] = set()

    async def __call__(self) -> Mapping[str, Any]:
        positions = self._positions()
        self._reached &= positions.keys()
        fresh = positions.keys() - self._reached - self._targets.keys()
        if fresh:
            ends = await self._bus.ends(self._topic)
            self._targets.update({part: ends.get(part, 0) for part in fresh})
        self._targets = {part: end for part, end in self._targets.items() if part in positions}
        done = {part for part, end in self._targets.items() if positions[part] >= end}
        self._reached |= done
        for part in done:
            del self._targets[part]
        behind = sum(end - positions[part] for part, end in self._targets.items())
        if behind:
            raise Transient(f"{behind} records of {self._topic} that were there before are not applied yet")
        return {"partitions": len(positions)}
