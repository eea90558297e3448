"""Tables by time: one partition per day (UTC), made ahead, dropped when it is too old.

Dropping a partition costs nothing and leaves nothing behind, whatever its size; deleting rows would. Each table has a
default partition that catches rows of days that have none (a clock far off), so that nothing is ever refused. A day that
has rows there gets its partition all the same: they move.

Both operations need a lock that all readers and writers of the table respect, so they wait for it only shortly and come
back later: behind a waiting lock everybody else would wait too.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from pathlib import Path

from levada.database import Connection, Database, Statements
from levada.model.errors import Transient

log = logging.getLogger(__name__)

SQL = Statements(Path(__file__).parent / "sql" / "partitions")

TABLES = ("execution_event", "log", "metric", "bus_log", "out_log", "audit_log")
DAY_US = 86_400_000_000
DAYS_AHEAD = 3
EPOCH = date(1970, 1, 1).toordinal()
#: Longest wait for a table's lock, and how often to try.
LOCK_TIMEOUT_MS = 200
TRIES = 10

#: What keeps a partition past its retention: messages not read by who owns their partition, entries not sent, histories of what still runs.
NEEDED = {
    "bus_log": SQL["unread_messages"],
    "out_log": SQL["unsent_entries"],
    "execution_event": SQL["live_histories"],
}


class Partitions:
    """Stateless; `make` and `drop` may run in any number of processes at once."""

    def __init__(self, database: Database, *, now_us: Callable[[], int]) -> None:
        self._database = database
        self._now_us = now_us

    async def make(self) -> list[str]:
        """Make what is missing from today on; return the names of those made. Raises Transient when a lock is busy."""
        today = self._now_us() // DAY_US
        made = []
        for table in TABLES:
            present = await self._present(table)
            days = [day for day in range(today, today + DAYS_AHEAD + 1) if name_of(table, day) not in present]
            if days:
                await self._try(_make, table, days)
                made += [name_of(table, day) for day in days]
        return made

    async def drop(self, keep_days: Mapping[str, float | None]) -> list[str]:
        """Drop partitions that ended more than so many days ago; None keeps a table for ever. Return their names."""
        before = {table: await self._present(table) for table, days in keep_days.items() if days is not None}
        for table, names in before.items():
            days = keep_days[table]
            assert days is not None
            oldest = int((self._now_us() - days * DAY_US) // DAY_US)
            for name in sorted(names):
                day = _day_of(table, name)
                if day is not None and day < oldest:
                    await self._try(_drop, table, [day])
        after = {table: await self._present(table) for table in before}
        dropped = sorted(name for table, names in before.items() for name in names - after[table])
        if dropped:
            log.info("dropped %d partitions past their retention: %s", len(dropped), ", ".join(dropped))
        return dropped

    async def _present(self, table: str) -> set[str]:
        return {name for (name,) in await self._database.fetch(SQL["present"], table)}

    async def _try(
        self, change: Callable[[Connection, str, int], Awaitable[None]], table: str, days: Sequence[int]
    ) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                async with self._database.transaction() as connection:
                    await connection.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
                    for day in days:
                        await change(connection, table, day)
            except Transient:
                if attempt == TRIES:
                    raise
            else:
                return


async def _make(connection: Connection, table: str, day: int) -> None:
    """Make one day's partition, with whatever the default partition holds of that day."""
    name, start, end = name_of(table, day), day * DAY_US, (day + 1) * DAY_US
    await connection.execute(SQL["lock"], f"partitions/{table}")
    if await connection.fetchval("SELECT to_regclass($1)", name) is not None:
        return  # another process was faster
    stray = await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table}_default WHERE at >= {start} AND at < {end})")
    if not stray:
        await connection.execute(f"CREATE TABLE {name} PARTITION OF {table} FOR VALUES FROM ({start}) TO ({end})")
        return
    await connection.execute(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    await connection.execute(
        f"WITH moved AS (DELETE FROM {table}_default WHERE at >= {start} AND at < {end} RETURNING *) "
        f"INSERT INTO {name} SELECT * FROM moved"
    )
    await connection.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({start}) TO ({end})")


async def _drop(connection: Connection, table: str, day: int) -> None:
    name = name_of(table, day)
    if await connection.fetchval("SELECT to_regclass($1)", name) is None:
        return
    if table in NEEDED and await connection.fetchval(NEEDED[table].format(name)):
        log.warning("%s is past its retention but something in it is still needed: it stays", name)
        return
    await connection.execute(f"DROP TABLE {name}")


def name_of(table: str, day: int) -> str:
    """Return the name of a day's partition; `day` counts from 1970-01-01."""
    return f"{table}_{date.fromordinal(EPOCH + day):%Y_%m_%d}"


def _day_of(table: str, name: str) -> int | None:
    try:
        year, month, day = (int(part) for part in name.removeprefix(f"{table}_").split("_"))
        return date(year, month, day).toordinal() - EPOCH
    except ValueError:
        return None
