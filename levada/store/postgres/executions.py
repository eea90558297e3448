"""The executor's store in Postgres.

`commit` is the heart: one statement with arrays instead of rows, whatever the size of the batch (see `composed`). It locks
the owner rows under our epochs; when one is missing, somebody else owns that partition and nothing is written. Only a
batch that touches concurrency slots needs a transaction of several statements, because other executors wait for those:
they come last, so that they wait shortly. There is no NOTIFY here: one inside a transaction makes all commits of the
server queue up behind each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import asyncpg

from levada.database import Connection, Database, Statements
from levada.model.commands import AdmitExecution
from levada.model.errors import Defect
from levada.model.execution import Execution
from levada.store import encoding
from levada.store.members import Ownership
from levada.store.port import Commit, DueTimer, Fenced, OutEntry, Repeated, SequenceConflict
from levada.store.postgres import columns
from levada.store.postgres.composed import composed
from levada.store.postgres.slots import SlotBook

SQL = Statements(Path(__file__).parent / "sql" / "executions")


class PostgresExecutionStore:
    """`ExecutionStore`. `index` builds what an execution keeps in memory only (engine.outputs.rebuild)."""

    def __init__(
        self,
        database: Database,
        *,
        now_us: Callable[[], int],
        index: Callable[[Execution], None] = lambda _: None,
        on_withdrawn: Callable[[], None] = lambda: None,
        ingress_partitions: int | None = None,
        failpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_withdrawn` is called after a commit that asked workers to stop attempts.

        `ingress_partitions` is how many partitions the commands topic has, where the bus may lose what it holds: then a
        commit removes the accepted commands that it applies, and accepts those that it sends. None: the bus is durable.
        """
        self._database = database
        self._on_withdrawn = on_withdrawn
        self._ingress = ingress_partitions
        self._failpoint = failpoint
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

    async def rewind(self, partition: int, epoch: int, position: int) -> None:
        if await self._database.fetchval(SQL["rewind"], partition, epoch, position) is None:
            raise Fenced(f"partition {partition} of the commands topic has another owner now")

    async def due_timers(self, now: int, limit: int, partitions: Sequence[int] | None = None) -> list[DueTimer]:
        parts = list(partitions) if partitions is not None else None
        return [DueTimer(*row) for row in await self._database.fetch(SQL["due_timers"], now, limit, parts)]

    async def mark_fired(self, timers: Sequence[DueTimer]) -> None:
        if timers:
            keys = columns.turned([(timer.execution_id, timer.seq, timer.kind) for timer in timers])
            await self._database.execute(SQL["mark_fired"], *keys)

    # --- the commit

    async def commit(self, batch: Commit) -> list[tuple[str, str, int]]:
        rows = columns.of_commit(batch, self._now_us(), self._ingress)
        self._failpoint("store.before_commit")
        withdrawn = "withdraw_task_runs" in rows
        admitted = await self._commit(batch, rows)
        self._failpoint("store.after_commit")
        if withdrawn:
            self._on_withdrawn()
        return admitted

    async def _commit(self, batch: Commit, rows: columns.Rows) -> list[tuple[str, str, int]]:
        if not batch.slots:
            await self._write(self._database.fetch, batch, rows)
            return []
        for name in ("insert_out", "accept_out"):
            rows.pop(name, None)
        async with self._database.transaction() as connection:
            out_next = await self._write(connection.fetch, batch, rows)
            admitted = await SlotBook(connection).apply(batch.slots)
            await self._write_out(connection, batch, admitted, out_next)
            self._failpoint("store.in_commit")
        return admitted

    async def _write(self, fetch: Callable[..., Any], batch: Commit, rows: columns.Rows) -> dict[int, int]:
        """Write everything but the slots; return where each partition's out offsets go on."""
        held = _owners(batch)
        found = [(write.execution.id, write.read_seq) for write in batch.writes if write.read_seq > 0]
        parts = [(name, columns.turned(some)) for name, some in rows.items() if some]
        applied = batch.applied if self._ingress is not None else ()
        sql, arguments = composed(held, columns.turned(found), applied, parts)
        try:
            answer = await fetch(sql, *arguments)
        except asyncpg.UniqueViolationError as error:
            raise SequenceConflict(f"an execution or an event to be added exists already: {error.detail}") from error
        except asyncpg.DataError as error:
            raise Defect(f"a value of the batch does not fit its column: {error}") from error
        if len(answer) != len(batch.owned):
            lost = sorted(set(batch.owned) - {row[0] for row in answer})
            raise Fenced(f"partitions {lost} of the commands topic have another owner now")
        if answer[0][2] != len(found):
            raise SequenceConflict(
                f"{len(found) - answer[0][2]} of these executions are not where this executor read them: "
                + ", ".join(f"{id} after event {seq}" for id, seq in found)
            )
        if answer[0][3] != len(applied):
            raise Repeated(f"{len(applied) - answer[0][3]} of {len(applied)} accepted commands were applied before")
        return {part: out_next for part, out_next, _, _ in answer}

    async def _write_out(
        self,
        connection: Connection,
        batch: Commit,
        admitted: Sequence[tuple[str, str, int]],
        out_next: dict[int, int],
    ) -> None:
        """Keep the commands to send, those of the admitted behind the batch's own in its first partition."""
        now, entries = self._now_us(), list(batch.out)
        if admitted:
            first = min(batch.owned)
            for number, (_, execution_id, queued) in enumerate(admitted):
                command = AdmitExecution(execution_id=execution_id, queued=queued)
                entries.append(OutEntry(first, out_next[first] + number, command))
            await connection.execute(SQL["advance_out"], first, len(admitted))
        if entries:
            await connection.execute(SQL["insert_out"], *columns.turned(columns.out(entries, now)))
        if entries and self._ingress is not None:
            await connection.execute(SQL["accept_out"], *columns.turned(columns.accepted(entries, self._ingress, now)))


def _owners(batch: Commit) -> list[list[Any]]:
    """Return the columns of what we own: partition, epoch, and the new positions where there are any."""
    out_next: dict[int, int] = {}
    for entry in batch.out:
        out_next[entry.partition] = max(entry.off + 1, out_next.get(entry.partition, 0))
    parts = sorted(batch.owned)
    return [
        parts,
        [batch.owned[part] for part in parts],
        [batch.positions.get(part) for part in parts],
        [batch.relayed.get(part) for part in parts],
        [out_next.get(part) for part in parts],
    ]


async def drop_timers_of_ended(database: Database, *, before: int) -> int:
    """Forget timers of executions that ended before then: nothing will ever ask for them."""
    return await database.execute(SQL["drop_timers_of_ended"], before)
