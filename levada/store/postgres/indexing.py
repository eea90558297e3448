"""`IndexStore` in Postgres: what an indexer read, and that it was read, in one statement.

Built like the executor's commit (see `composed`): the owner rows under our epochs are locked, a gate is open when all of
them are there, and every part asks it. The statement is a transaction of its own; an answer that was lost is cleared up by
raising the epochs and reading the positions again.

Many log lines travel by COPY instead, in a transaction around it: it takes half the processor time of both sides, and the
round trips that it costs more do not matter then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import asyncpg

from levada.database import Database, Statements
from levada.store.port import Fenced
from levada.store.postgres import columns
from levada.store.postgres.composed import Part, shifted
from levada.store.records import IndexBatch, Unwritable

SQL = Statements(Path(__file__).parent / "sql" / "indexing")
COMMIT = Statements(Path(__file__).parent / "sql" / "commit")

#: Parts by name: entries go in exactly as the executor writes its own.
PARTS = {
    "insert_logs": COMMIT["insert_logs"],
    "insert_metrics": COMMIT["insert_metrics"],
    "insert_dead_letters": COMMIT["insert_dead_letters"],
    "insert_audit": SQL["insert_audit"],
    "mark": SQL["mark"],
}
#: What a value that its column can not hold raises: in the server, or in the client's encoder for COPY.
UNFIT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    OverflowError,
    UnicodeError,
)
#: Parameters before those of the parts: topic, partitions, epochs, positions.
FIRST = 4


class PostgresIndexStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def commit(self, batch: IndexBatch) -> None:
        try:
            if len(batch.logs) < columns.COPIED:
                await _write(self._database.fetchval, batch, columns.logs(batch.logs))
                return
            async with self._database.transaction() as connection:
                await _write(connection.fetchval, batch, [])
                await connection.copy_records_to_table(
                    "log", records=columns.logs(batch.logs), columns=columns.LOG_COLUMNS
                )
        except UNFIT as error:
            raise Unwritable(f"an entry from topic {batch.topic} does not fit its table: {error}") from error

    async def positions(self, topic: str) -> dict[int, int]:
        return dict(await self._database.fetch(SQL["positions"], topic))


async def _write(fetchval: Callable[..., Awaitable[int]], batch: IndexBatch, logs: Sequence[columns.Row]) -> None:
    """Write everything but log lines that are not given here. Raises Fenced."""
    parts = _parts(batch, logs)
    owned = sorted(batch.positions)
    arguments: list[Any] = [
        batch.topic,
        owned,
        [batch.epochs[part] for part in owned],
        [batch.positions[part] for part in owned],
    ]
    for _, values in parts:
        arguments.extend(values)
    held = await fetchval(_text(tuple((name, len(values)) for name, values in parts)), *arguments)
    if held != len(owned):
        raise Fenced(f"{len(owned) - held} of the partitions {owned} of topic {batch.topic} have another owner now")


def _parts(batch: IndexBatch, logs: Sequence[columns.Row]) -> list[Part]:
    rows = {
        "insert_logs": logs,
        "insert_metrics": columns.metrics(batch.metrics),
        "insert_audit": columns.audit(batch.audit),
        "insert_dead_letters": columns.dead_letters(batch.dead),
    }
    parts: list[Part] = [(name, columns.turned(some)) for name, some in rows.items() if some]
    if batch.changed:
        parts.append(("mark", [list(batch.changed)]))
    return parts


@cache
def _text(parts: Sequence[tuple[str, int]]) -> str:
    """Return the statement with these parts; it answers how many of the owner rows were held."""
    tables = [
        f"held AS (\n{SQL['held']}\n)",
        "gate AS MATERIALIZED (SELECT WHERE (SELECT count(*) FROM held) = cardinality($2::int[]))",
        f"moved AS (\n{SQL['moved']}\n)",
    ]
    first = FIRST + 1
    for name, size in parts:
        tables.append(f"{name} AS (\n{shifted(PARTS[name], first)}\n)")
        first += size
    return "WITH " + ", ".join(tables) + "\nSELECT count(*) FROM held"
