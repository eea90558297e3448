"""`LogStore` and `MetricStore` in Postgres. Both tables are partitioned by time; retention drops partitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from levada.database import Database, Statements
from levada.model.jobs import LogEntry, MetricEntry
from levada.store import encoding
from levada.store.port import LogFilter
from levada.store.postgres import columns
from levada.store.postgres.conditions import Conditions

LOGS = Statements(Path(__file__).parent / "sql" / "logs")
METRICS = Statements(Path(__file__).parent / "sql" / "metrics")


class PostgresLogStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, entries: Sequence[LogEntry]) -> None:
        rows = columns.logs(entries)
        if len(rows) >= columns.COPIED:
            async with self._database.connection() as connection:
                await connection.copy_records_to_table("log", records=rows, columns=columns.LOG_COLUMNS)
        elif rows:
            await self._database.execute(LOGS["insert"], *columns.turned(rows))

    async def read(
        self, tenant: str, filter: LogFilter, *, limit: int = 10_000, offset: int = 0, descending: bool = False
    ) -> list[LogEntry]:
        where = conditions(tenant, filter)
        way = "DESC" if descending else "ASC"
        rows = await self._database.fetch(
            f"SELECT execution_id, namespace, flow_id, level, message, at, tenant, seq, task_id, task_run_id, attempt, "
            f"trigger_id, thread FROM log WHERE {where} ORDER BY at {way}, seq {way} "
            f"LIMIT {int(limit)} OFFSET {int(offset)}",
            *where.values,
        )
        return [LogEntry(**{**row, "level": encoding.LEVELS[row["level"]]}) for row in rows]

    async def count(self, tenant: str, filter: LogFilter) -> int:
        where = conditions(tenant, filter)
        return int(await self._database.fetchval(f"SELECT count(*) FROM log WHERE {where}", *where.values))

    async def delete(self, tenant: str, filter: LogFilter) -> int:
        where = conditions(tenant, filter)
        return await self._database.execute(f"DELETE FROM log WHERE {where}", *where.values)


class PostgresMetricStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, entries: Sequence[MetricEntry]) -> None:
        if entries:
            await self._database.execute(METRICS["insert"], *columns.turned(columns.metrics(entries)))

    async def read(
        self,
        tenant: str,
        execution_id: str,
        *,
        task_id: str | None = None,
        task_run_id: str | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> tuple[list[MetricEntry], int]:
        chosen = (tenant, execution_id, task_id, task_run_id)
        rows = await self._database.fetch(METRICS["read"], *chosen, limit, offset)
        if not rows:
            return [], int(await self._database.fetchval(METRICS["count"], *chosen)) if offset else 0
        entries = []
        for row in rows:
            values = dict(row)
            del values["total"]
            values["tags"] = msgspec.json.decode(values["tags"], type=dict[str, str])
            entries.append(MetricEntry(**values))
        return entries, rows[0]["total"]

    async def delete(self, tenant: str, execution_id: str) -> int:
        return await self._database.execute(METRICS["delete"], tenant, execution_id)


def conditions(tenant: str, filter: LogFilter) -> Conditions:
    where = Conditions()
    where.add("tenant = {}", tenant)
    where.text(filter.text, ("message",))
    where.namespace(filter.namespace, below=True)
    if filter.task_ids is not None:
        where.add("task_id = ANY ({}::text[])", list(filter.task_ids))
    if filter.levels is not None:
        numbers = [encoding.LEVEL_NUMBERS[level] for level in filter.levels if level in encoding.LEVEL_NUMBERS]
        where.add("level = ANY ({}::smallint[])", numbers)
    if filter.min_level is not None:
        where.add("level >= {}", encoding.LEVEL_NUMBERS.get(filter.min_level.upper(), 0))
    for condition, value in (
        ("execution_id = {}", filter.execution_id),
        ("task_id = {}", filter.task_id),
        ("task_run_id = {}", filter.task_run_id),
        ("attempt = {}", filter.attempt),
        ("flow_id = {}", filter.flow_id),
        ("trigger_id = {}", filter.trigger_id),
        ("at >= {}", filter.since),
        ("at <= {}", filter.until),
    ):
        if value is not None:
            where.add(condition, value)
    return where
