"""The executor's store in Postgres.

`commit` is the heart: one transaction, one statement per table touched, arrays instead of rows. Its first statement locks
the owner rows under our epoch and moves the positions; when a row is missing, somebody else owns that partition and
nothing is written. Its last statements are those that other executors wait for (concurrency slots), so that they wait
shortly. It sends no NOTIFY: one inside a transaction makes all commits of the server queue up behind each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import asyncpg

from levada.database import Connection, Database, Statements, touched
from levada.model.commands import AdmitExecution
from levada.model.errors import Defect
from levada.model.execution import Execution
from levada.store import encoding
from levada.store.port import Commit, DueTimer, Fenced, OutEntry, Ownership, SequenceConflict
from levada.store.postgres import columns
from levada.store.postgres.logs import LOGS, METRICS
from levada.store.postgres.slots import SlotBook

SQL = Statements(Path(__file__).parent / "sql" / "executions")

#: Statements of `columns.Rows` that just write, in an order that keeps rows of one table together.
PLAIN = (
    "insert_task_runs",
    "upsert_task_runs",
    "submit_task_runs",
    "withdraw_task_runs",
    "delete_task_runs",
    "insert_events",
    "arm_timers",
    "drop_timers",
)


class PostgresExecutionStore:
    """`ExecutionStore`. `index` builds what an execution keeps in memory only (engine.outputs.rebuild)."""

    def __init__(
        self, database: Database, *, now_us: Callable[[], int], index: Callable[[Execution], None] = lambda _: None
    ) -> None:
        self._database = database
        self._now_us = now_us
        self._index = index

    async def own(self, partitions: Sequence[int], owner: str) -> list[Ownership]:
        parts = sorted(partitions)
        await self._database.execute(SQL["make_owners"], parts)
        rows = await self._database.fetch(SQL["take_over"], parts, owner)
        return sorted((Ownership(*row) for row in rows), key=lambda owned: owned.partition)

    async def unsent(self, partition: int, from_off: int) -> list[OutEntry]:
        rows = await self._database.fetch(SQL["unsent"], partition, from_off)
        return [OutEntry(partition, off, encoding.command_from(body)) for off, body in rows]

    async def load(self, ids: Sequence[str]) -> dict[str, Execution]:
        heads = await self._database.fetch(SQL["load_heads"], list(ids))
        if not heads:
            return {}
        found = {id: encoding.execution_from(head, ()) for id, head in heads}
        rows = await self._database.fetch(SQL["load_task_runs"], list(found))
        for id, group in groupby(rows, key=lambda row: str(row[0])):
            encoding.add_task_runs(found[id], (row[1] for row in group))
        for execution in found.values():
            self._index(execution)
        return found

    async def slots(self, flow_keys: Sequence[str]) -> dict[str, int]:
        held = dict(await self._database.fetch(SQL["slots"], list(flow_keys)))
        return {key: held.get(key, 0) for key in flow_keys}

    async def done_off(self, partition: int) -> int:
        found = await self._database.fetchval(SQL["done_off"], partition)
        return int(found) if found is not None else 0

    async def due_timers(self, now: int, limit: int) -> list[DueTimer]:
        return [DueTimer(*row) for row in await self._database.fetch(SQL["due_timers"], now, limit)]

    async def mark_fired(self, timers: Sequence[DueTimer]) -> None:
        if timers:
            keys = columns.turned([(timer.execution_id, timer.seq, timer.kind) for timer in timers])
            await self._database.execute(SQL["mark_fired"], *keys)

    # --- the commit

    async def commit(self, batch: Commit) -> list[tuple[str, str]]:
        rows = columns.Rows(batch.writes)
        async with self._database.transaction() as connection:
            out_next = await self._fence(connection, batch)
            await self._write_executions(connection, rows)
            for name in PLAIN:
                await _run(connection, name, getattr(rows, name))
            await _run(connection, "insert_dead_letters", columns.dead_letters(batch))
            await _run(connection, "insert", columns.logs(batch.logs), LOGS)
            await _run(connection, "insert", columns.metrics(batch.metrics), METRICS)
            admitted = await SlotBook(connection).apply(batch.slots) if batch.slots else []
            await self._write_out(connection, batch, admitted, out_next)
        return admitted

    async def _fence(self, connection: Connection, batch: Commit) -> dict[int, int]:
        """Lock the owner rows, move the positions and return where each partition's out offsets go on."""
        out_next: dict[int, int] = {}
        for entry in batch.out:
            out_next[entry.partition] = max(entry.off + 1, out_next.get(entry.partition, 0))
        parts = sorted(batch.owned)
        held = await connection.fetch(
            SQL["fence"],
            parts,
            [batch.owned[part] for part in parts],
            [batch.positions.get(part) for part in parts],
            [batch.relayed.get(part) for part in parts],
            [out_next.get(part) for part in parts],
        )
        found = dict(held)
        if len(found) != len(parts):
            lost = sorted(set(parts) - found.keys())
            raise Fenced(f"partitions {lost} of the commands topic have another owner now")
        return found

    async def _write_executions(self, connection: Connection, rows: columns.Rows) -> None:
        try:
            await _run(connection, "insert_executions", rows.insert_executions)
        except asyncpg.UniqueViolationError as error:
            raise SequenceConflict(f"an execution to be created exists already: {error.detail}") from error
        changed = await _run(connection, "update_executions", rows.update_executions)
        if changed != len(rows.update_executions):
            wanted = [f"{row[0]} after event {row[1]}" for row in rows.update_executions]
            raise SequenceConflict(
                f"{len(wanted) - changed} of these executions are not where this executor read them: {', '.join(wanted)}"
            )

    async def _write_out(
        self, connection: Connection, batch: Commit, admitted: Sequence[tuple[str, str]], out_next: dict[int, int]
    ) -> None:
        rows = columns.out(batch)
        if admitted:
            first = min(batch.owned)
            for number, (_, execution_id) in enumerate(admitted):
                command = encoding.command_text(AdmitExecution(execution_id=execution_id))
                rows.append((first, out_next[first] + number, command))
            await connection.execute(SQL["advance_out"], first, len(admitted))
        if rows:
            await connection.execute(SQL["insert_out"], *columns.turned(rows), self._now_us())


async def _run(connection: Connection, name: str, rows: Sequence[Any], statements: Statements = SQL) -> int:
    """Run a statement over rows, if there are any; return how many it touched."""
    if not rows:
        return 0
    try:
        status = await connection.execute(statements[name], *columns.turned(rows))
    except asyncpg.DataError as error:
        raise Defect(f"{name}: a value does not fit its column: {error}") from error
    return touched(status)
