"""`KvStore` in Postgres. Values are JSON text, kept as written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from levada.database import Database, Statements
from levada.store.port import KvRow

SQL = Statements(Path(__file__).parent / "sql" / "kv")


class PostgresKvStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant: str, namespace: str, key: str) -> KvRow | None:
        row = await self._database.fetchrow(SQL["get"], tenant, namespace, key)
        return _kv(row) if row is not None else None

    async def put(self, row: KvRow, *, overwrite: bool = True) -> bool:
        written = await self._database.execute(
            SQL["put"],
            row.namespace,
            row.key,
            row.type,
            msgspec.json.encode(row.value).decode(),
            row.created,
            row.updated,
            row.tenant,
            row.description,
            row.expires,
            overwrite,
        )
        return written > 0

    async def delete(self, tenant: str, namespace: str, key: str) -> bool:
        return await self._database.execute(SQL["delete"], tenant, namespace, key) > 0

    async def list(self, tenant: str, namespace: str | None = None, prefix: str = "") -> list[KvRow]:
        return [_kv(row) for row in await self._database.fetch(SQL["list"], tenant, namespace, prefix)]

    async def purge_expired(self, now: int, limit: int) -> int:
        return await self._database.execute(SQL["purge_expired"], now, limit)


def _kv(row: Any) -> KvRow:
    return KvRow(**{**row, "value": msgspec.json.decode(row["value"])})
