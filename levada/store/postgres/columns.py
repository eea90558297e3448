"""A `Commit` as columns: what the statements of `executions` take.

Every list of rows becomes one array per column, whatever the size of the batch. Nothing here talks to the database.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from levada.model import jobs
from levada.model.audit import AuditEntry
from levada.model.execution import Execution, TaskRun
from levada.model.jobs import Job, LogEntry, MetricEntry
from levada.store import encoding
from levada.store.changes import jobs_wanted
from levada.store.port import Commit, DeadLetter, ExecutionWrite, OutEntry

Row = tuple[Any, ...]


#: Rows from which on COPY is cheaper than a statement with arrays, and the columns in the order of `logs` and `audit`.
COPIED = 100
LOG_COLUMNS = (
    "tenant", "namespace", "flow_id", "execution_id", "task_id", "task_run_id", "attempt", "trigger_id", "level", "at", "seq",
    "thread", "message",
)  # fmt: skip
AUDIT_COLUMNS = (
    "id", "at", "tenant", "who", "action", "kind", "object", "namespace", "outcome", "status", "details", "request_id",
    "remote",
)  # fmt: skip

#: Rows by statement; names are those of the files in `sql/commit`.
Rows = dict[str, list[Row]]


def of_commit(batch: Commit, now: int, ingress_partitions: int | None = None) -> Rows:
    """Return the rows of a batch; statements without any are absent."""
    rows: Rows = defaultdict(list)
    for write in batch.writes:
        _add(rows, write, now)
    if batch.out:
        rows["insert_out"] = out(batch.out, now)
        if ingress_partitions is not None:
            rows["accept_out"] = accepted(batch.out, ingress_partitions, now)
    if batch.logs:
        rows["insert_logs"] = logs(batch.logs)
    if batch.metrics:
        rows["insert_metrics"] = metrics(batch.metrics)
    if batch.dead:
        rows["insert_dead_letters"] = dead_letters(batch.dead)
    return rows


def _add(rows: Rows, write: ExecutionWrite, now: int) -> None:
    execution = write.execution
    if write.read_seq == 0:
        rows["insert_executions"].append(_inserted(execution))
    else:
        rows["update_executions"].append(_updated(execution))
    if write.events:
        text = encoding.events_text(write.events)
        rows["insert_events"].append((execution.id, write.read_seq + 1, write.events[0].at, text))
    if execution.dirty or write.submitted or write.withdrawn:
        _add_task_runs(rows, write, now)
    for timer in write.timers:
        rows["arm_timers"].append((execution.id, timer.seq, timer.kind, timer.due, timer.task_run_id, write.partition))
    for seq, kind in write.fired:
        rows["drop_timers"].append((execution.id, seq, kind))


def _add_task_runs(rows: Rows, write: ExecutionWrite, now: int) -> None:
    execution = write.execution
    numbers = encoding.numbered(execution, write.read_seq)
    wanted = jobs_wanted(write)
    withdrawn = set(write.withdrawn) - wanted.keys()
    plain = rows["insert_task_runs" if write.read_seq == 0 else "upsert_task_runs"]
    for id in execution.dirty | wanted.keys() | withdrawn:
        run = execution.task_runs.get(id)
        if run is None:
            rows["delete_task_runs"].append((execution.id, id))
            continue
        job = wanted.get(id)
        if job is not None:
            rows["submit_task_runs"].append(_submitted(run, numbers.get(id, 0), job, now))
        else:
            row = (execution.id, id, numbers.get(id, 0), run.state, encoding.task_run_text(run))
            (rows["withdraw_task_runs"] if id in withdrawn else plain).append(row)


def out(entries: Sequence[OutEntry], now: int) -> list[Row]:
    return [(entry.partition, entry.off, now, encoding.command_text(entry.command)) for entry in entries]


def accepted(entries: Sequence[OutEntry], partitions: int, now: int) -> list[Row]:
    kept = (encoding.accepted(entry, partitions, now) for entry in entries)
    return [(one.id, one.partition, one.at, one.key, one.body) for one in kept]


def turned(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """Return the rows turned: one sequence per column."""
    return list(zip(*rows, strict=True))


def _inserted(execution: Execution) -> Row:
    return (
        execution.id,
        execution.tenant,
        execution.namespace,
        execution.flow_id,
        execution.flow_revision,
        execution.state,
        execution.created,
        encoding.ended(execution),
        execution.parent.execution_id if execution.parent is not None else None,
        encoding.trigger_execution(execution),
        execution.kind,
        encoding.labels_text(execution.labels),
        execution.deleted,
        execution.seq,
        encoding.head_text(execution),
    )


def _updated(execution: Execution) -> Row:
    return (
        execution.id,
        execution.flow_revision,
        execution.state,
        encoding.ended(execution),
        encoding.labels_text(execution.labels),
        execution.deleted,
        execution.seq,
        encoding.head_text(execution),
    )


def _submitted(run: TaskRun, n: int, job: Job, now: int) -> Row:
    return (
        job.execution_id,
        run.id,
        n,
        run.state,
        encoding.task_run_text(run),
        jobs.encode(job).decode(),
        encoding.clean(job.queue),
        job.priority,
        job.attempt,
        now if job.since is None else job.since,
    )


def dead_letters(letters: Sequence[DeadLetter]) -> list[Row]:
    return [
        (
            dead.topic,
            dead.partition,
            dead.offset,
            encoding.clean(dead.key),
            encoding.clean(dead.reason),
            encoding.clean(dead.detail) if dead.detail is not None else None,
            dead.body,
            dead.at,
        )
        for dead in letters
    ]


def logs(entries: Sequence[LogEntry]) -> list[Row]:
    return [
        (
            entry.tenant,
            entry.namespace,
            entry.flow_id,
            entry.execution_id,
            entry.task_id,
            entry.task_run_id,
            entry.attempt,
            entry.trigger_id,
            encoding.LEVEL_NUMBERS.get(entry.level, 2),
            entry.at,
            entry.seq,
            entry.thread,
            encoding.clean(entry.message),
        )
        for entry in entries
    ]


def metrics(entries: Sequence[MetricEntry]) -> list[Row]:
    return [
        (
            entry.tenant,
            entry.namespace,
            entry.flow_id,
            entry.execution_id,
            entry.task_id,
            entry.task_run_id,
            encoding.clean(entry.name),
            entry.kind,
            entry.value,
            entry.at,
            encoding.json_text(entry.tags),
        )
        for entry in entries
    ]


def audit(entries: Sequence[AuditEntry]) -> list[Row]:
    return [
        (
            entry.id,
            entry.at,
            entry.tenant,
            encoding.clean(entry.who),
            entry.action,
            entry.kind,
            encoding.clean(entry.object) if entry.object is not None else None,
            encoding.clean(entry.namespace) if entry.namespace is not None else None,
            entry.outcome,
            entry.status,
            encoding.json_text(entry.details),
            encoding.clean(entry.request_id) if entry.request_id is not None else None,
            entry.remote,
        )
        for entry in entries
    ]
