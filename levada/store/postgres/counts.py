"""`ExecutionCounts` in Postgres: two tables, by the minute and by the hour, recomputed where something was marked.

One process at a time recomputes (an advisory lock), because an hour is summed from its minutes and two of them at once would
each miss the other's. A recomputation reads the executions of the marked minutes through the index on their creation, so
it costs what was created in those minutes; whoever calls it decides how often.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from levada.database import Database, Statements, touched
from levada.model.states import State
from levada.store.postgres.conditions import Conditions
from levada.store.records import CATCH_UP_DAYS, HOUR_US, MINUTE_US, SWEPT_MINUTES, Count, CountFilter, check

SQL = Statements(Path(__file__).parent / "sql" / "counts")

DAY_US = 24 * HOUR_US


class PostgresExecutionCounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def counts(
        self, tenant: str, filter: CountFilter, bounds: Sequence[int], *, by: Sequence[str] = ()
    ) -> list[Count]:
        grain = HOUR_US if all(bound % HOUR_US == 0 for bound in bounds) else MINUTE_US
        check(bounds, by)
        table = "execution_count_hour" if grain == HOUR_US else "execution_count_minute"
        where = _conditions(tenant, filter, bounds)
        array = where.parameter(list(bounds))
        groups = "".join(f", {name}" for name in by)
        rows = await self._database.fetch(
            f"SELECT ({array}::bigint[])[width_bucket(at, {array}::bigint[])] AS at, state, sum(n)::bigint AS n, "
            f"sum(ended)::bigint AS ended, sum(duration)::bigint AS duration, min(shortest) AS shortest, "
            f"max(longest) AS longest{groups} FROM {table} WHERE {where} GROUP BY 1, state{groups} ORDER BY 1, state{groups}",
            *where.values,
        )
        return [Count(**{**row, "state": State(row["state"])}) for row in rows]

    async def live(self) -> dict[tuple[str, State], int]:
        rows = await self._database.fetch(SQL["live"])
        return {(tenant, State(state)): n for tenant, state, n in rows}

    async def mark(self, execution_ids: Sequence[str]) -> None:
        if execution_ids:
            await self._database.execute(SQL["mark"], list(execution_ids))

    async def recompute(self, limit: int) -> int:
        async with self._database.transaction() as connection:
            if not await connection.fetchval(SQL["alone"]):
                return 0
            marked = await connection.fetch(SQL["take"], limit)
            if marked:
                columns = [tenant for tenant, _ in marked], [at for _, at in marked]
                await connection.execute(SQL["recompute_minutes"], *columns)
                await connection.execute(SQL["recompute_hours"], *columns)
        return len(marked)

    async def sweep(self, now: int) -> int:
        since = now - now % MINUTE_US - SWEPT_MINUTES * MINUTE_US
        live = await self._database.execute(SQL["sweep_live"])
        return live + await self._database.execute(SQL["sweep_recent"], since)

    async def catch_up(self, now: int) -> int:
        return await self._database.execute(SQL["catch_up"], now - CATCH_UP_DAYS * DAY_US)

    async def forget(self, before: int) -> int:
        before -= before % HOUR_US
        async with self._database.transaction() as connection:
            gone = touched(await connection.execute(SQL["forget_minutes"], before))
            await connection.execute(SQL["forget_hours"], before)
        return gone


def _conditions(tenant: str, filter: CountFilter, bounds: Sequence[int]) -> Conditions:
    where = Conditions()
    where.add("tenant = {}", tenant)
    where.add("at >= {} AND at < {}", bounds[0], bounds[-1])
    where.namespace(filter.namespace, below=not filter.exact)
    if filter.flow_id is not None:
        where.add("flow_id = {}", filter.flow_id)
    if filter.flows is not None:
        names = [name for name, _ in filter.flows], [id for _, id in filter.flows]
        where.add("(namespace, flow_id) IN (SELECT * FROM unnest({}::text[], {}::text[]))", *names)
    if filter.states:
        where.add("state = ANY ({}::text[])", [str(state) for state in filter.states])
    return where
