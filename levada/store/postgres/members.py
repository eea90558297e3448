"""Who serves, and who owns which partition: `Members` in Postgres.

A lease is a time on the database's clock, so a host whose clock is wrong neither loses its partitions nor keeps them too
long. Being alive is only a reason to be left alone: what keeps a dead owner from writing is the epoch in the same rows of
`bus_owner`, which every commit checks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from levada.database import Database, Statements
from levada.store.members import Member, Ownership

SQL = Statements(Path(__file__).parent / "sql" / "members")

#: The dead are shown for so long, for people who ask what happened.
REMEMBERED_S = 3600.0


class PostgresMembers:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def beat(self, service: str, name: str, lease_s: float, info: Mapping[str, Any]) -> None:
        await self._database.execute(SQL["beat"], service, name, lease_s, msgspec.json.encode(dict(info)).decode())

    async def leave(self, service: str, name: str) -> None:
        await self._database.execute(SQL["leave"], service, name)

    async def all(self, service: str | None = None) -> list[Member]:
        await self._database.execute(SQL["forget"], REMEMBERED_S)
        return [
            Member(
                service=service,
                name=name,
                started=started,
                lease_until=until,
                live=live,
                info=msgspec.json.decode(info),
            )
            for service, name, started, until, live, info in await self._database.fetch(SQL["all"], service)
        ]

    async def survey(self, service: str, topic: str) -> tuple[list[str], dict[int, str | None]]:
        living = [name for (name,) in await self._database.fetch(SQL["living"], service)]
        return living, dict(await self._database.fetch(SQL["owners"], service, topic))

    async def take(self, service: str, topic: str, name: str, limit: int) -> list[Ownership]:
        return _owned(await self._database.fetch(SQL["take"], service, topic, name, limit))

    async def reclaim(self, topic: str, name: str) -> list[Ownership]:
        return _owned(await self._database.fetch(SQL["reclaim"], topic, name))

    async def release(self, topic: str, name: str, partitions: Sequence[int]) -> None:
        await self._database.execute(SQL["release"], topic, name, list(partitions))

    async def make(self, topic: str, partitions: int) -> None:
        await self._database.execute(SQL["make"], topic, partitions)


def _owned(rows: Sequence[Sequence[Any]]) -> list[Ownership]:
    return sorted((Ownership(*row) for row in rows), key=lambda owned: owned.partition)
