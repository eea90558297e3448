"""`LogStore` and `MetricStore` in memory."""

from __future__ import annotations

from collections.abc import Sequence

from levada.model.jobs import LogEntry, MetricEntry
from levada.store.encoding import LEVEL_NUMBERS
from levada.store.memory.flows import within
from levada.store.memory.tables import Tables
from levada.store.port import LogFilter


class MemoryLogStore:
    def __init__(self, tables: Tables) -> None:
        self._logs = tables.logs

    async def write(self, entries: Sequence[LogEntry]) -> None:
        self._logs.extend(entries)

    async def read(
        self, tenant: str, filter: LogFilter, *, limit: int = 10_000, offset: int = 0, descending: bool = False
    ) -> list[LogEntry]:
        found = [entry for entry in self._logs if entry.tenant == tenant and matches(entry, filter)]
        found.sort(key=lambda entry: (entry.at, entry.seq), reverse=descending)
        return found[offset : offset + limit]

    async def count(self, tenant: str, filter: LogFilter) -> int:
        return sum(entry.tenant == tenant and matches(entry, filter) for entry in self._logs)

    async def delete(self, tenant: str, filter: LogFilter) -> int:
        kept = [entry for entry in self._logs if entry.tenant != tenant or not matches(entry, filter)]
        gone = len(self._logs) - len(kept)
        self._logs[:] = kept
        return gone


class MemoryMetricStore:
    def __init__(self, tables: Tables) -> None:
        self._metrics = tables.metrics

    async def write(self, entries: Sequence[MetricEntry]) -> None:
        self._metrics.extend(entries)

    async def read(
        self,
        tenant: str,
        execution_id: str,
        *,
        task_id: str | None = None,
        task_run_id: str | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> tuple[list[MetricEntry], int]:
        found = [
            entry
            for entry in self._metrics
            if (entry.tenant, entry.execution_id) == (tenant, execution_id)
            and task_id in (None, entry.task_id)
            and task_run_id in (None, entry.task_run_id)
        ]
        found.sort(key=lambda entry: (entry.at, entry.name))
        return found[offset : offset + limit], len(found)

    async def delete(self, tenant: str, execution_id: str) -> int:
        kept = [entry for entry in self._metrics if (entry.tenant, entry.execution_id) != (tenant, execution_id)]
        gone = len(self._metrics) - len(kept)
        self._metrics[:] = kept
        return gone


def matches(entry: LogEntry, filter: LogFilter) -> bool:
    least = LEVEL_NUMBERS.get((filter.min_level or "TRACE").upper(), 0)
    return (
        filter.execution_id in (None, entry.execution_id)
        and filter.task_id in (None, entry.task_id)
        and filter.task_run_id in (None, entry.task_run_id)
        and filter.attempt in (None, entry.attempt)
        and filter.flow_id in (None, entry.flow_id)
        and filter.trigger_id in (None, entry.trigger_id)
        and (filter.task_ids is None or entry.task_id in filter.task_ids)
        and (filter.levels is None or entry.level in filter.levels)
        and LEVEL_NUMBERS.get(entry.level, 2) >= least
        and (filter.namespace is None or within(entry.namespace, filter.namespace, below=True))
        and (not filter.text or filter.text.lower() in entry.message.lower())
        and (filter.since is None or entry.at >= filter.since)
        and (filter.until is None or entry.at <= filter.until)
    )
