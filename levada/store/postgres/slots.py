"""Concurrency slots inside a commit.

Who holds or waits for a slot of a flow is a set of rows. The flow's row in `concurrency_flow` is the lock: whoever has it
sees all claims, so a claim over the limit is refused for certain, and a slot that was freed between the decision to wait
and this transaction goes to whoever waits longest, at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from levada.database import Connection, Statements
from levada.store.changes import last_of_each, limits_of
from levada.store.port import SlotChange, SlotConflict
from levada.store.postgres.columns import turned

SQL = Statements(Path(__file__).parent / "sql" / "executions")


class SlotBook:
    """The slots of the flows that one commit touches."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def apply(self, changes: Sequence[SlotChange]) -> list[tuple[str, str, int]]:
        """Apply the changes; return (flow_key, execution id, queued since) of those admitted. Raises SlotConflict."""
        final = last_of_each(changes)
        limits = limits_of(changes)
        flows = sorted({change.flow_key for change in final})
        await self._connection.execute(SQL["make_flows"], flows)
        await self._connection.fetch(SQL["lock_flows"], flows)
        await self._release([change for change in final if change.kind == "release"])
        await self._take([change for change in final if change.kind == "claim"], limits)
        await self._take([change for change in final if change.kind == "queue"], {})
        if not limits:
            return []
        rows = await self._connection.fetch(SQL["admit"], list(limits), list(limits.values()))
        return [(flow_key, execution_id, queued) for flow_key, execution_id, queued in rows]

    async def _release(self, changes: Sequence[SlotChange]) -> None:
        if changes:
            keys = turned([(change.flow_key, change.execution_id) for change in changes])
            await self._connection.execute(SQL["release_slots"], *keys)

    async def _take(self, changes: Sequence[SlotChange], limits: dict[str, int]) -> None:
        """Add holders (claims, checked against `limits`) or waiters."""
        if not changes:
            return
        rows = [(change.flow_key, change.execution_id, change.kind == "claim", change.at) for change in changes]
        await self._connection.execute(SQL["take_slots"], *turned(rows))
        checked = sorted({change.flow_key for change in changes} & limits.keys())
        if checked:
            for flow_key, held in await self._connection.fetch(SQL["slots"], checked):
                if held > limits[flow_key]:
                    raise SlotConflict(flow_key)
