"""`FlowStore` in Postgres: every revision is a row that never changes; deleting adds one.

The executor asks for the latest revision of a flow with every batch. Where no other process can save flows (the embedded
database) the answer is remembered until somebody here changes the flow.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from levada.database import Connection, Database, Statements, touched
from levada.store import encoding
from levada.store.changes import same
from levada.store.port import Exists, FlowRow, Missing
from levada.store.postgres.conditions import Conditions, order

SQL = Statements(Path(__file__).parent / "sql" / "flows")

SORTS = {"id": "id", "namespace": "namespace", "revision": "revision", "updated": "updated"}


#: Flows whose latest revision is remembered; beyond that everything is forgotten.
MOST_REMEMBERED = 5000

_Key = tuple[str, str, str]


class PostgresFlowStore:
    def __init__(self, database: Database, *, alone: bool = False) -> None:
        """`alone`: no other process saves flows, ever."""
        self._database = database
        self._alone = alone
        self._latest: dict[_Key, FlowRow | None] = {}
        self._changes = 0

    async def get(
        self, tenant: str, namespace: str, id: str, revision: int | None = None, *, allow_deleted: bool = False
    ) -> FlowRow | None:
        if revision is None:
            flow = await self._get_latest((tenant, namespace, id))
        else:
            flow = flow_of(await self._database.fetchrow(SQL["revision"], tenant, namespace, id, revision))
        return None if flow is None or (flow.deleted and not allow_deleted) else flow

    async def _get_latest(self, key: _Key) -> FlowRow | None:
        if key in self._latest:
            return self._latest[key]
        before = self._changes
        flow = flow_of(await self._database.fetchrow(SQL["latest"], *key))
        if self._alone and before == self._changes:  # else this may be older than what was just saved
            if len(self._latest) >= MOST_REMEMBERED:
                self._latest.clear()
            self._latest[key] = flow
        return flow

    @asynccontextmanager
    async def _changing(self, key: _Key) -> AsyncIterator[Connection]:
        """A transaction that may change the flow; whatever becomes of it, what was remembered is forgotten."""
        try:
            async with self._database.transaction() as connection:
                yield connection
        finally:
            self._changes += 1
            self._latest.pop(key, None)

    async def save(self, row: FlowRow, *, must: str = "any") -> FlowRow:
        async with self._changing((row.tenant, row.namespace, row.id)) as connection:
            latest = await self._locked(connection, row.tenant, row.namespace, row.id)
            live = latest is not None and not latest.deleted
            if must == "create" and live:
                raise Exists(f"flow {row.id} exists already in namespace {row.namespace}")
            if must == "update" and not live:
                raise Missing(f"there is no flow {row.id} in namespace {row.namespace}")
            if latest is not None and live and same(latest, row):
                return latest
            saved = msgspec.structs.replace(row, revision=latest.revision + 1 if latest else 1)
            await _insert(connection, saved)
        return saved

    async def delete(self, tenant: str, namespace: str, id: str, at: int) -> FlowRow | None:
        async with self._changing((tenant, namespace, id)) as connection:
            latest = await self._locked(connection, tenant, namespace, id)
            if latest is None or latest.deleted:
                return None
            deleted = msgspec.structs.replace(latest, revision=latest.revision + 1, deleted=True, updated=at)
            await _insert(connection, deleted)
        return deleted

    async def revisions(self, tenant: str, namespace: str, id: str) -> list[FlowRow]:
        rows = await self._database.fetch(SQL["revisions"], tenant, namespace, id)
        return [flow for row in rows if (flow := flow_of(row)) is not None]

    async def delete_revisions(self, tenant: str, namespace: str, id: str, revisions: Sequence[int]) -> int:
        async with self._changing((tenant, namespace, id)) as connection:
            return touched(await connection.execute(SQL["delete_revisions"], tenant, namespace, id, list(revisions)))

    async def search(
        self,
        tenant: str,
        *,
        text: str | None = None,
        namespace: str | None = None,
        namespace_prefix: bool = True,
        labels: Mapping[str, str] | None = None,
        sort: Sequence[tuple[str, bool]] = (),
        limit: int = 10,
        offset: int = 0,
    ) -> tuple[list[FlowRow], int]:
        where = Conditions(tenant)
        where.text(text, ("namespace", "id", "description"))
        where.namespace(namespace, below=namespace_prefix)
        if labels:
            where.add("labels @> {}::text::jsonb", encoding.json_text(dict(labels)))
        by = order(sort, SORTS, "namespace, id")
        sql = f"{SQL['search']} AND {where} ORDER BY {by}"
        rows = await self._database.fetch(f"{sql} LIMIT {int(limit)} OFFSET {int(offset)}", *where.values)
        if not rows and (offset or not limit):
            rows_beyond = await self._database.fetch(f"{sql} LIMIT 1", *where.values)
            return [], rows_beyond[0]["total"] if rows_beyond else 0
        return [flow for row in rows if (flow := flow_of(row)) is not None], rows[0]["total"] if rows else 0

    async def namespaces(self, tenant: str) -> list[str]:
        return [namespace for (namespace,) in await self._database.fetch(SQL["namespaces"], tenant)]

    async def _locked(self, connection: Connection, tenant: str, namespace: str, id: str) -> FlowRow | None:
        """Keep other writers of the flow away until the transaction ends; return its latest revision."""
        await connection.execute(SQL["lock"], f"flow/{tenant}/{namespace}/{id}")
        return flow_of(await connection.fetchrow(SQL["latest"], tenant, namespace, id))


async def _insert(connection: Connection, row: FlowRow) -> None:
    await connection.execute(
        SQL["insert"],
        row.namespace,
        row.id,
        row.revision,
        row.source,
        row.updated,
        row.tenant,
        row.disabled,
        row.deleted,
        row.draft,
        encoding.json_text(row.labels),
        row.description,
    )


def flow_of(row: Any) -> FlowRow | None:
    """Return a row of `flow` as the store gives it; None for none."""
    if row is None:
        return None
    return FlowRow(
        namespace=row["namespace"],
        id=row["id"],
        revision=row["revision"],
        source=row["source"],
        updated=row["updated"],
        tenant=row["tenant"],
        disabled=row["disabled"],
        deleted=row["deleted"],
        draft=row["draft"],
        labels=msgspec.json.decode(row["labels"], type=dict[str, str]),
        description=row["description"],
    )
