"""`IndexStore`, `AuditStore` and `ExecutionCounts` in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from levada.model.audit import AuditEntry
from levada.model.execution import ExecutionHead
from levada.model.states import State
from levada.store import encoding
from levada.store.memory.flows import within
from levada.store.memory.tables import Tables
from levada.store.port import Fenced
from levada.store.records import (
    CATCH_UP_DAYS,
    HOUR_US,
    MINUTE_US,
    SWEPT_MINUTES,
    AuditFilter,
    Count,
    CountFilter,
    IndexBatch,
    check,
)


class MemoryIndexStore:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def commit(self, batch: IndexBatch) -> None:
        rows = self._tables.owners_of(batch.topic)
        lost = [part for part in batch.positions if part not in rows or rows[part].epoch != batch.epochs[part]]
        if lost:
            raise Fenced(f"the partitions {lost} of topic {batch.topic} have another owner now")
        for part, position in batch.positions.items():
            rows[part].done_off = position
        self._tables.logs.extend(batch.logs)
        self._tables.metrics.extend(batch.metrics)
        self._tables.audit.extend(batch.audit)
        self._tables.dead.extend(batch.dead)
        await MemoryExecutionCounts(self._tables).mark(sorted(batch.changed))

    async def positions(self, topic: str) -> dict[int, int]:
        return {part: row.done_off for part, row in self._tables.owners_of(topic).items()}


class MemoryAuditStore:
    def __init__(self, tables: Tables) -> None:
        self._rows = tables.audit

    async def write(self, entries: Sequence[AuditEntry]) -> None:
        self._rows.extend(entries)

    async def search(
        self, tenant: str, filter: AuditFilter, *, limit: int = 10, offset: int = 0
    ) -> tuple[list[AuditEntry], int]:
        found = [entry for entry in self._rows if entry.tenant == tenant and matches(entry, filter)]
        found.sort(key=lambda entry: (entry.at, entry.id), reverse=True)
        return found[offset : offset + limit], len(found)


def matches(entry: AuditEntry, filter: AuditFilter) -> bool:
    text = (filter.text or "").lower()
    return (
        (text in entry.who.lower() or text in (entry.object or "").lower())
        and filter.who in (None, entry.who)
        and (not filter.actions or entry.action in filter.actions)
        and (not filter.kinds or entry.kind in filter.kinds)
        and (not filter.outcomes or entry.outcome in filter.outcomes)
        and filter.object in (None, entry.object)
        and (filter.namespace is None or within(entry.namespace or "", filter.namespace, below=True))
        and (filter.since is None or entry.at >= filter.since)
        and (filter.until is None or entry.at <= filter.until)
    )


class MemoryExecutionCounts:
    """Keeps the rows of `execution_count_minute`: (tenant, minute) -> counts by flow and state."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def counts(
        self, tenant: str, filter: CountFilter, bounds: Sequence[int], *, by: Sequence[str] = ()
    ) -> list[Count]:
        check(bounds, by)
        out: dict[tuple[object, ...], Count] = {}
        for (of, at), rows in self._tables.counts.items():
            if of != tenant or not bounds[0] <= at < bounds[-1]:
                continue
            start = bounds[bisect_right(bounds, at) - 1]
            for row in rows:
                if _counted(row, filter):
                    groups = {name: getattr(row, name) for name in by}
                    key = (start, row.state, *groups.values())
                    out[key] = _sum(out.get(key), row, start, groups)
        return [out[key] for key in sorted(out)]

    async def live(self) -> dict[tuple[str, State], int]:
        found: dict[tuple[str, State], int] = {}
        for head in self._heads():
            if not head.state.is_terminal:
                key = (head.tenant, head.state)
                found[key] = found.get(key, 0) + 1
        return found

    async def mark(self, execution_ids: Sequence[str]) -> None:
        wanted = set(execution_ids)
        self._tables.marks.update(_minute(head) for head in self._heads() if head.id in wanted)

    async def recompute(self, limit: int) -> int:
        chosen = sorted(self._tables.marks, key=lambda mark: mark[1], reverse=True)[:limit]
        for mark in chosen:
            self._tables.marks.discard(mark)
            rows: dict[tuple[object, ...], Count] = {}
            for head in self._heads():
                if _minute(head) == mark and (head.kind or "NORMAL") == "NORMAL":
                    key = (head.namespace, head.flow_id, head.state)
                    groups = {"namespace": head.namespace, "flow_id": head.flow_id}
                    rows[key] = _sum(rows.get(key), _one(head), mark[1], groups)
            self._tables.counts[mark] = list(rows.values())
        return len(chosen)

    async def sweep(self, now: int) -> int:
        since = now - now % MINUTE_US - SWEPT_MINUTES * MINUTE_US
        there = {_minute(head) for head in self._heads() if not head.state.is_terminal or head.created >= since}
        counted = {
            mark for mark, rows in self._tables.counts.items() if mark[1] >= since or any(not row.ended for row in rows)
        }
        before = len(self._tables.marks)
        self._tables.marks.update(there | counted)
        return len(self._tables.marks) - before

    async def catch_up(self, now: int) -> int:
        newest = max((at for _, at in self._tables.counts), default=0)
        since = max(now - CATCH_UP_DAYS * 24 * HOUR_US, newest)
        before = len(self._tables.marks)
        self._tables.marks.update(_minute(head) for head in self._heads() if head.created >= since)
        return len(self._tables.marks) - before

    async def forget(self, before: int) -> int:
        old = [mark for mark in self._tables.counts if mark[1] < before - before % HOUR_US]
        return sum(len(self._tables.counts.pop(mark)) for mark in old)

    def _heads(self) -> Iterator[ExecutionHead]:
        return (head for text in self._tables.heads.values() if not (head := encoding.head_from(text)).deleted)


def _minute(head: ExecutionHead) -> tuple[str, int]:
    return head.tenant, head.created - head.created % MINUTE_US


def _one(head: ExecutionHead) -> Count:
    ended = encoding.ended(head)
    took = ended - head.created if ended is not None else 0
    shown = took if ended is not None else None
    return Count(
        at=head.created,
        state=head.state,
        n=1,
        ended=int(ended is not None),
        duration=took,
        shortest=shown,
        longest=shown,
    )


def _sum(known: Count | None, row: Count, at: int, groups: dict[str, str]) -> Count:
    values = [row] if known is None else [known, row]
    return Count(
        at=at,
        state=row.state,
        n=sum(value.n for value in values),
        ended=sum(value.ended for value in values),
        duration=sum(value.duration for value in values),
        shortest=min((value.shortest for value in values if value.shortest is not None), default=None),
        longest=max((value.longest for value in values if value.longest is not None), default=None),
        **groups,
    )


def _counted(row: Count, filter: CountFilter) -> bool:
    return (
        (filter.namespace is None or within(row.namespace or "", filter.namespace, below=not filter.exact))
        and filter.flow_id in (None, row.flow_id)
        and (filter.flows is None or (row.namespace, row.flow_id) in filter.flows)
        and (not filter.states or row.state in filter.states)
    )
