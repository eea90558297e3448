"""What waits where in the whole installation, for whoever watches it: small queries over indexes of what is unfinished.

Each looks at no more than MOST_COUNTED rows. A backlog above that is shown as that many: by then the number itself does not
matter any more, and counting on would add to the load.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from levada.database import Database, Statements

SQL = Statements(Path(__file__).parent / "sql" / "gauges")

MOST_COUNTED = 100_000


class Backlog(msgspec.Struct, frozen=True):
    """How many wait, and since when the first of them does (epoch microseconds; None: nothing waits)."""

    depth: int
    oldest: int | None


class PostgresGauges:
    """All methods raise `Transient` when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def queues(self) -> dict[str, Backlog]:
        """Return what waits for a worker, by route (levada/model/routes.py); empty routes are not there."""
        rows = await self._database.fetch(SQL["queues"], MOST_COUNTED)
        return {route: Backlog(depth, oldest) for route, depth, oldest in rows}

    async def live(self) -> dict[str, int]:
        """Return how many executions have not ended, by state."""
        return dict(await self._database.fetch(SQL["live"], MOST_COUNTED))

    async def slots(self) -> tuple[int, int]:
        """Return how many executions hold a concurrency slot of their flow, and how many wait for one."""
        row = await self._database.fetchrow(SQL["slots"], MOST_COUNTED)
        assert row is not None
        return row[0], row[1]

    async def ingress(self) -> Backlog:
        """Return what was acknowledged and is not applied yet."""
        row = await self._database.fetchrow(SQL["ingress"], MOST_COUNTED)
        assert row is not None
        return Backlog(row[0], row[1])

    async def dead_letters(self) -> dict[str, int]:
        """Return how many dead letters nobody has replayed or dropped, by topic."""
        return dict(await self._database.fetch(SQL["dead_letters"], MOST_COUNTED))

    async def applied(self) -> dict[str, dict[int, int]]:
        """Return how far the readers of each topic are, by partition."""
        found: dict[str, dict[int, int]] = {}
        for topic, part, position in await self._database.fetch(SQL["applied"]):
            found.setdefault(topic, {})[part] = position
        return found
