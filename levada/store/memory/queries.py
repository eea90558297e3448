"""`ExecutionQueries` in memory."""

from __future__ import annotations

from collections.abc import Sequence

from levada.model.events import Event
from levada.model.execution import ExecutionHead
from levada.store import encoding
from levada.store.changes import sorted_by
from levada.store.memory.flows import within
from levada.store.memory.records import MemoryExecutionCounts
from levada.store.memory.tables import Tables
from levada.store.port import ExecutionFilter

SORTS = frozenset({"id", "namespace", "flow_id", "state", "created", "ended", "duration"})


class MemoryExecutionQueries:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def search(
        self,
        tenant: str,
        filter: ExecutionFilter,
        *,
        sort: Sequence[tuple[str, bool]] = (),
        limit: int = 10,
        offset: int = 0,
    ) -> tuple[list[ExecutionHead], int]:
        heads = [encoding.head_from(head) for head in self._tables.heads.values()]
        found = [head for head in heads if head.tenant == tenant and not head.deleted and matches(head, filter)]
        found.sort(key=lambda head: head.id)
        return sorted_by(found, sort or [("created", True)], SORTS, _value)[offset : offset + limit], len(found)

    async def events(self, execution_id: str) -> list[Event]:
        turns = sorted(self._tables.events.get(execution_id, []))
        return [event for _, text in turns for event in encoding.events_from(text)]

    async def purge(self, ids: Sequence[str], *, logs: bool = True, metrics: bool = True) -> int:
        tables, gone = self._tables, set(ids)
        await MemoryExecutionCounts(tables).mark(ids)
        for waiting in tables.slots.values():
            for id in gone & waiting.keys():
                del waiting[id]
        for key in [key for key in tables.timers if key[0] in gone]:
            del tables.timers[key]
        for lease in [lease for lease in tables.leases if lease[0] in gone]:
            del tables.leases[lease]
        if logs:
            tables.logs[:] = [entry for entry in tables.logs if entry.execution_id not in gone]
        if metrics:
            tables.metrics[:] = [entry for entry in tables.metrics if entry.execution_id not in gone]
        for id in gone:
            tables.events.pop(id, None)
            tables.task_runs.pop(id, None)
            tables.seqs.pop(id, None)
        return sum(tables.heads.pop(id, None) is not None for id in gone)


def matches(head: ExecutionHead, filter: ExecutionFilter) -> bool:
    labels = dict(head.labels)
    text = (filter.text or "").lower()
    return (
        (filter.ids is None or head.id in filter.ids)
        and (not text or any(text in value.lower() for value in (head.id, head.namespace, head.flow_id)))
        and (filter.namespace is None or within(head.namespace, filter.namespace, below=not filter.exact))
        and (not filter.states or head.state in filter.states)
        and head.state not in filter.not_states
        and all(labels.get(key) == value for key, value in filter.labels.items())
        and (filter.flow_id is None or head.flow_id == filter.flow_id)
        and (filter.since is None or head.created >= filter.since)
        and (filter.until is None or head.created <= filter.until)
        and _related(head, filter)
        and (filter.kinds is None or (head.kind or "NORMAL") in filter.kinds)
    )


def _related(head: ExecutionHead, filter: ExecutionFilter) -> bool:
    parent = head.parent.execution_id if head.parent is not None else None
    return (
        (filter.parent_id is None or parent == filter.parent_id)
        and (filter.children is None or (parent is not None) == filter.children)
        and (filter.trigger_execution_id is None or encoding.trigger_execution(head) == filter.trigger_execution_id)
    )


def _value(head: ExecutionHead, field: str) -> str | int | None:
    ended = encoding.ended(head)
    match field:
        case "ended":
            return ended
        case "duration":
            return ended - head.created if ended is not None else None
        case _:
            found: str | int = getattr(head, field)
            return found
