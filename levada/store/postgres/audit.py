"""`AuditStore` in Postgres. The table is partitioned by time and never updated; retention drops its partitions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from levada.database import Database, Statements
from levada.model.audit import AuditEntry, Outcome
from levada.store.postgres import columns
from levada.store.postgres.conditions import Conditions
from levada.store.records import AuditFilter

SQL = Statements(Path(__file__).parent / "sql" / "audit")

#: Beyond this a total is not worth its price: it is reported as this number.
MOST_COUNTED = 100_000


class PostgresAuditStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, entries: Sequence[AuditEntry]) -> None:
        rows = columns.audit(entries)
        if len(rows) >= columns.COPIED:
            async with self._database.connection() as connection:
                await connection.copy_records_to_table("audit_log", records=rows, columns=columns.AUDIT_COLUMNS)
        elif rows:
            await self._database.execute(SQL["insert"], *columns.turned(rows))

    async def search(
        self, tenant: str, filter: AuditFilter, *, limit: int = 10, offset: int = 0
    ) -> tuple[list[AuditEntry], int]:
        where = conditions(tenant, filter)
        rows = await self._database.fetch(
            f"SELECT id, at, tenant, who, action, kind, object, namespace, outcome, status, details, request_id, remote "
            f"FROM audit_log WHERE {where} ORDER BY at DESC, id DESC LIMIT {int(limit)} OFFSET {int(offset)}",
            *where.values,
        )
        if rows and len(rows) < limit:
            return [_entry(row) for row in rows], offset + len(rows)
        total = await self._database.fetchval(
            f"SELECT count(*) FROM (SELECT FROM audit_log WHERE {where} LIMIT {MOST_COUNTED}) AS counted", *where.values
        )
        return [_entry(row) for row in rows], int(total)


def conditions(tenant: str, filter: AuditFilter) -> Conditions:
    where = Conditions()
    where.add("tenant = {}", tenant)
    where.text(filter.text, ("who", "object"))
    where.namespace(filter.namespace, below=True)
    for column, values in (("action", filter.actions), ("kind", filter.kinds), ("outcome", filter.outcomes)):
        if values:
            where.add(f"{column} = ANY ({{}}::text[])", [str(value) for value in values])
    for condition, value in (
        ("who = {}", filter.who),
        ("object = {}", filter.object),
        ("at >= {}", filter.since),
        ("at <= {}", filter.until),
    ):
        if value is not None:
            where.add(condition, value)
    return where


def _entry(row: Any) -> AuditEntry:
    values = dict(row)
    values["outcome"] = Outcome(values["outcome"])
    values["details"] = msgspec.json.decode(values["details"], type=dict[str, Any])
    return AuditEntry(**values)
