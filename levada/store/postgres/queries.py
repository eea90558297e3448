"""`ExecutionQueries` in Postgres: lists, histories and removal of executions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from levada.database import Database, Statements, touched
from levada.model.events import Event
from levada.model.execution import ExecutionHead
from levada.model.states import State
from levada.store import encoding
from levada.store.port import ExecutionFilter
from levada.store.postgres.conditions import Conditions, order

SQL = Statements(Path(__file__).parent / "sql" / "queries")
#: What is removed is not counted any more.
MARK = Statements(Path(__file__).parent / "sql" / "counts")["mark"]

SORTS = {
    "id": "id",
    "namespace": "namespace",
    "flow_id": "flow_id",
    "state": "state",
    "created": "created",
    "ended": "ended",
    "duration": "(ended - created)",
}
#: Beyond this a total is not worth its price: it is reported as this number.
MOST_COUNTED = 100_000


class PostgresExecutionQueries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def search(
        self,
        tenant: str,
        filter: ExecutionFilter,
        *,
        sort: Sequence[tuple[str, bool]] = (),
        limit: int = 10,
        offset: int = 0,
    ) -> tuple[list[ExecutionHead], int]:
        where = conditions(tenant, filter)
        by = order(sort or [("created", True)], SORTS, "id")
        heads: list[ExecutionHead] = []
        if limit:
            rows = await self._database.fetch(
                f"SELECT head FROM execution WHERE {where} ORDER BY {by} LIMIT {int(limit)} OFFSET {int(offset)}",
                *where.values,
            )
            heads = [encoding.head_from(head) for (head,) in rows]
        if heads and len(heads) < limit:
            return heads, offset + len(heads)
        if filter.ids is not None and offset == 0 and len(filter.ids) <= limit:
            return heads, len(heads)
        total = await self._database.fetchval(
            f"SELECT count(*) FROM (SELECT FROM execution WHERE {where} LIMIT {MOST_COUNTED}) AS counted", *where.values
        )
        return heads, int(total)

    async def events(self, execution_id: str) -> list[Event]:
        rows = await self._database.fetch(SQL["events"], execution_id)
        return [event for (text,) in rows for event in encoding.events_from(text)]

    async def purge(self, ids: Sequence[str], *, logs: bool = True, metrics: bool = True) -> int:
        parts = ["events", "timers", "slots", "task_runs"]
        parts += ["logs"] if logs else []
        parts += ["metrics"] if metrics else []
        async with self._database.transaction() as connection:
            await connection.execute(MARK, list(ids))
            for part in parts:
                await connection.execute(SQL[f"purge_{part}"], list(ids))
            return touched(await connection.execute(SQL["purge_executions"], list(ids)))


def conditions(tenant: str, filter: ExecutionFilter) -> Conditions:
    where = Conditions()
    if filter.ids is not None:
        where.add("id = ANY ({}::text[])", list(filter.ids))
    where.add("tenant = {}", tenant)
    where.add("NOT deleted")
    where.text(filter.text, ("id", "namespace", "flow_id"))
    where.namespace(filter.namespace, below=not filter.exact)
    _states(where, filter)
    if filter.labels:
        where.add("labels @> {}::text::jsonb", encoding.json_text(dict(filter.labels)))
    for column, value in (
        ("flow_id = {}", filter.flow_id),
        ("created >= {}", filter.since),
        ("created <= {}", filter.until),
        ("parent_id = {}", filter.parent_id),
        ("trigger_execution_id = {}", filter.trigger_execution_id),
    ):
        if value is not None:
            where.add(column, value)
    if filter.children is not None:
        where.add(f"parent_id IS {'NOT ' if filter.children else ''}NULL")
    if filter.kinds is not None:
        where.add("coalesce(kind, 'NORMAL') = ANY ({}::text[])", list(filter.kinds))
    return where


def _states(where: Conditions, filter: ExecutionFilter) -> None:
    if filter.states:
        where.add("state = ANY ({}::text[])", [str(state) for state in filter.states])
        if not any(State(state).is_terminal for state in filter.states):
            where.add("ended IS NULL")  # what the index of live executions holds
    if filter.not_states:
        where.add("state <> ALL ({}::text[])", [str(state) for state in filter.not_states])
