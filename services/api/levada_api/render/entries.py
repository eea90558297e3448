"""Log lines, metrics, KV entries and files."""

from typing import Any

from levada.model.jobs import LogEntry, MetricEntry
from levada.store.port import KvRow
from levada_api.render.times import date


def log(entry: LogEntry) -> dict[str, Any]:
    out: dict[str, Any] = {
        "tenantId": entry.tenant,
        "namespace": entry.namespace,
        "flowId": entry.flow_id,
        "executionId": entry.execution_id,
        "timestamp": date(entry.at),
        "level": entry.level,
        "message": entry.message,
        "deleted": False,
    }
    if entry.task_id is not None:
        out["taskId"] = entry.task_id
    if entry.task_run_id is not None:
        out["taskRunId"] = entry.task_run_id
    if entry.attempt is not None:
        out["attemptNumber"] = entry.attempt
    if entry.trigger_id is not None:
        out["triggerId"] = entry.trigger_id
    if entry.thread is not None:
        out["thread"] = entry.thread
    return out


def log_line(entry: LogEntry) -> str:
    """One line of a downloaded log: `2026-07-24T09:00:00.000000Z INFO message`."""
    return f"{date(entry.at)} {entry.level} {entry.message}\n"


def metric(entry: MetricEntry) -> dict[str, Any]:
    return {
        "tenantId": entry.tenant,
        "namespace": entry.namespace,
        "flowId": entry.flow_id,
        "taskId": entry.task_id,
        "executionId": entry.execution_id,
        "taskRunId": entry.task_run_id,
        "type": entry.kind,
        "name": entry.name,
        "value": entry.value,
        "timestamp": date(entry.at),
        "tags": entry.tags,
    }


def kv_entry(row: KvRow) -> dict[str, Any]:
    out: dict[str, Any] = {
        "namespace": row.namespace,
        "key": row.key,
        "creationDate": date(row.created),
        "updateDate": date(row.updated),
    }
    if row.description is not None:
        out["description"] = row.description
    if row.expires is not None:
        out["expirationDate"] = date(row.expires)
    return out


def kv_value(row: KvRow) -> dict[str, Any]:
    out: dict[str, Any] = {"type": row.type, "updated": date(row.updated)}
    if row.value is not None:
        out["value"] = row.value
    return out
