"""Commands that were acknowledged and wait to be applied: `Ingress` in Postgres.

Where the bus is in this database too, it is itself the durable place and nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from levada.database import Database, Statements
from levada.store.port import Accepted

SQL = Statements(Path(__file__).parent / "sql" / "ingress")


class PostgresIngress:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, commands: Sequence[Accepted]) -> None:
        await self._database.execute(
            SQL["accept"],
            [command.id for command in commands],
            [command.partition for command in commands],
            [command.at for command in commands],
            [command.key for command in commands],
            [command.body for command in commands],
        )

    async def pending(self, ids: Sequence[str]) -> set[str]:
        return {id for (id,) in await self._database.fetch(SQL["pending"], list(ids))}

    async def waiting(self, partitions: Sequence[int], before: int, limit: int) -> list[Accepted]:
        rows = await self._database.fetch(SQL["waiting"], list(partitions), before, limit)
        return [Accepted(*row) for row in rows]

    async def of(self, partitions: Sequence[int], keys: Sequence[str]) -> list[Accepted]:
        rows = await self._database.fetch(SQL["of"], list(partitions), list(keys))
        return [Accepted(*row) for row in rows]
