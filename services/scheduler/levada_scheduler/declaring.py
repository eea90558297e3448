"""From flows to schedules: keeps what is scheduled in step with the revisions in force.

Every look asks only for what was written since the last one; every FULL_S, and once at the start, everything is compared,
so nothing depends on a message that somebody sends. All schedulers do it and may do it at the same time: the store lets
one write at a time and takes only what is still in force.

A flow that can not be read stops its schedules and says so in them. It is tried again when it is saved, and whenever a
scheduler starts, since what it lacks may have been installed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from levada.flowfile import BrokenFlow, FlowCache
from levada.model.flow import Flow
from levada.runtime.clock import Clock
from levada.store.port import FlowRow
from levada.store.triggers import Declared, FlowSchedules, TriggerStore
from levada_scheduler import definition

log = logging.getLogger("levada.scheduler")

FULL_S = 30.0
AT_ONCE = 100


class Declarer:
    """One per process."""

    def __init__(self, store: TriggerStore, flows: FlowCache, clock: Clock) -> None:
        self._store = store
        self._flows = flows
        self._clock = clock
        self._mark: str | None = None
        self._full_at: float | None = None

    async def look(self) -> bool:
        """Declare what is new. Return whether anything changed."""
        started = self._clock.monotonic()
        full = self._full_at is None or started - self._full_at >= FULL_S
        if self._full_at is None:
            await self._store.retry_broken()
        changed = False
        while True:
            rows, mark = await self._store.outdated(definition.FORMAT, None if full else self._mark, AT_ONCE)
            if not rows:
                break
            done = await self._store.declare(definition.FORMAT, [await self._read(row) for row in rows])
            changed = changed or done > 0
            if done < len(rows):
                return changed  # another scheduler is at it, or they changed again: the next look sees
        self._mark = mark
        if full:
            await self._forget()
            self._full_at = started
        return changed

    async def _forget(self) -> None:
        gone = await self._store.vanished()
        if gone:
            await self._store.forget(gone)

    async def _read(self, row: FlowRow) -> FlowSchedules:
        await asyncio.sleep(0)  # parsing takes milliseconds, and something may be due
        schedules, error = schedules_of(row, self._flows)
        if error is not None:
            log.warning("the schedules of flow %s.%s stop: %s", row.namespace, row.id, error)
        return FlowSchedules(
            tenant=row.tenant,
            namespace=row.namespace,
            flow_id=row.id,
            revision=row.revision,
            schedules=schedules,
            error=error,
        )


def schedules_of(row: FlowRow, flows: FlowCache) -> tuple[Sequence[Declared], str | None]:
    """Return the schedules of a revision, or why it can not be read."""
    if row.deleted or "Schedule" not in row.source:
        return (), None
    try:
        flow = flows.read(row)
        if isinstance(flow, BrokenFlow):
            return (), str(flow)
        return _of(msgspec.structs.replace(flow, disabled=flow.disabled or row.disabled)), None
    except Exception as error:  # one flow that breaks us must not stop the schedules of all the others
        log.exception("revision %d of flow %s.%s can not be read", row.revision, row.namespace, row.id)
        return (), f"internal error: {type(error).__name__}: {error}"


def _of(flow: Flow) -> list[Declared]:
    return [definition.declared(flow, trigger) for trigger in flow.triggers if trigger.type in definition.TYPES]
