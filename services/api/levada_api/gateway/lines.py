"""Log lines and metrics of tasks, on their way to whoever keeps them.

They come in batches over many executions, each under a claim that the worker has or had; lines that name another execution
than their claim are dropped, and said to be. Lines may come a little after the attempt ended.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TypeVar

from aiohttp import web

from levada.model.jobs import Grant, LogEntry, MetricEntry
from levada.runtime import metrics, wire
from levada_api.call import Call
from levada_api.gateway.exchange import body, nothing

log = logging.getLogger("levada.api.gateway")

T = TypeVar("T", LogEntry, MetricEntry)


async def write(call: Call) -> web.Response:
    batches = await body(call, list[wire.Lines])
    grants = await call.api.gateway.claims.seen([batch.held for batch in batches])
    lines: list[LogEntry] = []
    numbers: list[MetricEntry] = []
    refused = 0
    for batch, grant in zip(batches, grants, strict=True):
        lines += _theirs(batch.logs, grant)
        numbers += _theirs(batch.metrics, grant)
        refused += len(batch.logs) + len(batch.metrics)
    refused -= len(lines) + len(numbers)
    if refused:
        metrics.GATEWAY_REFUSED.inc("lines", by=refused)
        log.warning("%d log lines or metrics of workers are dropped: no claim covers them", refused)
    sink = call.api.gateway.sink
    if lines:
        await sink.write_logs(lines)
    if numbers:
        await sink.write_metrics(numbers)
    return nothing()


def _theirs(entries: Sequence[T], grant: Grant | None) -> list[T]:
    if grant is None:
        return []
    place = (grant.held.execution_id, grant.tenant, grant.namespace, grant.flow_id)
    return [one for one in entries if (one.execution_id, one.tenant, one.namespace, one.flow_id) == place]
