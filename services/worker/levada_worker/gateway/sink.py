"""Log lines and metrics of tasks over HTTP: `levada_worker.logs.LogSink`.

Lines of one execution travel under the latest claim that this worker had of it.
"""

import logging
from collections.abc import Sequence

from levada.model.jobs import LogEntry, MetricEntry
from levada.runtime import wire
from levada_worker.gateway.connection import Gateways
from levada_worker.gateway.jobs import Claims

log = logging.getLogger("levada.worker.gateway")


class HttpSink:
    def __init__(self, gateways: Gateways, claims: Claims) -> None:
        self._gateways = gateways
        self._claims = claims

    async def write_logs(self, entries: Sequence[LogEntry]) -> None:
        grouped: dict[str, list[LogEntry]] = {}
        for entry in entries:
            grouped.setdefault(entry.execution_id, []).append(entry)
        await self._write({id: (lines, []) for id, lines in grouped.items()})

    async def write_metrics(self, entries: Sequence[MetricEntry]) -> None:
        grouped: dict[str, list[MetricEntry]] = {}
        for entry in entries:
            grouped.setdefault(entry.execution_id, []).append(entry)
        await self._write({id: ([], numbers) for id, numbers in grouped.items()})

    async def _write(self, grouped: dict[str, tuple[list[LogEntry], list[MetricEntry]]]) -> None:
        batches = []
        for execution_id, (lines, numbers) in grouped.items():
            held = self._claims.of(execution_id)
            if held is None:
                log.error(
                    "%d lines of execution %s, of which this worker knows no claim, are lost", len(lines), execution_id
                )
                continue
            batches.append(wire.Lines(held=held, logs=lines, metrics=numbers))
        if batches:
            await self._gateways.ask("/lines", batches, None)
