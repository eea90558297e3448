"""`TriggerStore` and `Deliveries` in Postgres."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

from levada.database import Connection, Database, Statements
from levada.store import encoding
from levada.store.port import FlowRow
from levada.store.postgres.flows import flow_of
from levada.store.triggers import DeliveryKey, Due, Fire, FlowSchedules, Step, TriggerState, look_again, shard_of

SQL = Statements(Path(__file__).parent / "sql" / "triggers")
DELIVERIES = Statements(Path(__file__).parent / "sql" / "deliveries")

#: A start that was sent may take so long to become an execution; until then it counts as running.
UNDER_WAY_US = 300_000_000

_EVERYTHING = "true"
_WRITTEN_SINCE = "(tenant, namespace, id) IN (SELECT tenant, namespace, id FROM flow WHERE written >= $3::text::xid8)"
_NAMED = "(tenant, namespace, id) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[]))"


class PostgresTriggerStore:
    def __init__(self, database: Database, *, now_us: Callable[[], int] | None = None) -> None:
        """`now_us`: another clock than the database's, for tests."""
        self._database = database
        self._now_us = now_us

    async def now(self) -> int:
        if self._now_us is not None:
            return self._now_us()
        return int(await self._database.fetchval(SQL["now"]))

    # --- firing

    async def upcoming(self, now: int, grace_us: int = 0) -> int | None:
        following, young, fired = await self._database.fetchrow(SQL["upcoming"], now, now - grace_us)
        return look_again(now, following, None if young is None else young + grace_us + 1, fired)

    async def due(self, now: int, limit: int, *, share: tuple[int, int] = (0, 1), grace_us: int = 0) -> list[Due]:
        rows = await self._database.fetch(SQL["due"], now, limit, *share, now - grace_us, now - UNDER_WAY_US)
        return [Due(**row) for row in rows]

    async def advance(self, steps: Sequence[Step]) -> list[Fire]:
        fires = [(step.uid, fire) for step in steps for fire in step.fires]
        rows = await self._database.fetch(
            SQL["advance"],
            [step.uid for step in steps],
            [step.revision for step in steps],
            [step.expected for step in steps],
            [step.next_slot for step in steps],
            [step.probe for step in steps],
            [step.skipped for step in steps],
            [_text(step.note) for step in steps],
            [_text(step.error) for step in steps],
            [step.stop for step in steps],
            [uid for uid, _ in fires],
            [fire.slot for _, fire in fires],
            [fire.execution_id for _, fire in fires],
            [fire.body for _, fire in fires],
            await self.now(),
        )
        return [Fire(*row) for row in rows]

    async def sent(self, execution_ids: Collection[str]) -> None:
        await self._database.execute(SQL["sent"], list(execution_ids))

    async def unsent(self, older_us: int, limit: int) -> list[Fire]:
        now = await self.now()
        return [Fire(*row) for row in await self._database.fetch(SQL["unsent"], now, now - older_us, limit)]

    # --- declaring

    async def outdated(self, format: int, since: str | None, limit: int) -> tuple[list[FlowRow], str]:
        mark: str = await self._database.fetchval(SQL["mark"])
        sql = _with_flows("outdated", _EVERYTHING if since is None else _WRITTEN_SINCE)
        rows = await self._database.fetch(sql, format, limit, *([] if since is None else [since]))
        return [flow for row in rows if (flow := flow_of(row)) is not None], mark

    async def vanished(self) -> list[tuple[str, str, str]]:
        return [tuple(row) for row in await self._database.fetch(SQL["vanished"])]

    async def declare(self, format: int, flows: Sequence[FlowSchedules]) -> int:
        async with self._database.transaction() as connection:
            if not await connection.fetchval(SQL["lock"]):
                return 0
            wanted = await _in_force(connection, flows)
            if wanted:
                await self._declare(connection, format, wanted)
        return len(wanted)

    async def _declare(self, connection: Connection, format: int, flows: Sequence[FlowSchedules]) -> None:
        now = await self.now()
        readable = [flow for flow in flows if flow.error is None]
        declared = [(flow.revision, each) for flow in readable for each in flow.schedules]
        await connection.execute(SQL["drop_others"], *_keys(readable), [each.uid for _, each in declared])
        await connection.execute(
            SQL["declare"],
            [each.uid for _, each in declared],
            [each.tenant for _, each in declared],
            [each.namespace for _, each in declared],
            [each.flow_id for _, each in declared],
            [each.trigger_id for _, each in declared],
            [each.type for _, each in declared],
            [revision for revision, _ in declared],
            [shard_of(each.uid) for _, each in declared],
            [each.definition for _, each in declared],
            [each.signature for _, each in declared],
            [each.allow_concurrent for _, each in declared],
            [encoding.json_text(list(each.stop_after)) if each.stop_after else None for _, each in declared],
            [each.active for _, each in declared],
            now,
        )
        broken = [flow for flow in flows if flow.error is not None]
        if broken:
            await connection.execute(SQL["break"], *_revisions(broken), now)
        await connection.execute(SQL["declared"], *_revisions(flows), format)

    async def forget(self, flows: Sequence[tuple[str, str, str]]) -> None:
        tenants, namespaces, ids = zip(*flows, strict=True) if flows else ((), (), ())
        await self._database.execute(SQL["forget"], list(tenants), list(namespaces), list(ids))

    async def retry_broken(self) -> None:
        await self._database.execute(SQL["retry_broken"])

    # --- people

    async def states(self, tenant: str, namespace: str | None = None, flow_id: str | None = None) -> list[TriggerState]:
        return [TriggerState(**row) for row in await self._database.fetch(SQL["states"], tenant, namespace, flow_id)]

    async def tally(self) -> tuple[int, int]:
        row = await self._database.fetchrow(SQL["tally"])
        return row["running"], row["broken"]

    async def switch(self, uid: str, enabled: bool) -> bool:
        return await self._database.execute(SQL["switch"], uid, enabled, await self.now()) > 0

    async def purge_fired(self, before: int, limit: int) -> int:
        return await self._database.execute(SQL["purge_fired"], before, limit)


def _with_flows(name: str, condition: str) -> str:
    in_force = SQL["in_force"].replace("{flows}", condition)
    return SQL[name].replace("{in_force}", in_force) if name != "in_force" else in_force


async def _in_force(connection: Connection, flows: Sequence[FlowSchedules]) -> list[FlowSchedules]:
    """Return those whose revision is the one that counts now."""
    rows = await connection.fetch(_with_flows("in_force", _NAMED), *_keys(flows))
    revisions = {(tenant, namespace, id): revision for tenant, namespace, id, revision in rows}
    return [flow for flow in flows if revisions.get((flow.tenant, flow.namespace, flow.flow_id)) == flow.revision]


def _keys(flows: Sequence[FlowSchedules]) -> list[list[str]]:
    return [
        [flow.tenant for flow in flows],
        [flow.namespace for flow in flows],
        [flow.flow_id for flow in flows],
    ]


def _revisions(flows: Sequence[FlowSchedules]) -> list[list[Any]]:
    return [*_keys(flows), [flow.revision for flow in flows], [_text(flow.error) for flow in flows]]


def _text(text: str | None) -> str | None:
    return None if text is None else encoding.clean(text)


class PostgresDeliveries:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, key: DeliveryKey, execution_id: str, at: int) -> tuple[str, int, bool]:
        row = await self._database.fetchrow(DELIVERIES["claim"], *msgspec.structs.astuple(key), execution_id, at)
        return row["execution_id"], row["at"], row["sent"]

    async def sent(self, key: DeliveryKey) -> None:
        await self._database.execute(DELIVERIES["sent"], *msgspec.structs.astuple(key))

    async def purge(self, before: int, limit: int) -> int:
        return await self._database.execute(DELIVERIES["purge"], before, limit)
