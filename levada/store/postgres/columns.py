"""A `Commit` as columns: what the statements of `executions` take.

Every list of rows becomes one array per column and so one statement, whatever the size of the batch. Empty ones are
skipped by the caller. Nothing here talks to the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from levada.model import jobs
from levada.model.execution import Execution, TaskRun
from levada.model.jobs import Job, LogEntry, MetricEntry
from levada.store import encoding
from levada.store.changes import jobs_wanted
from levada.store.port import Commit, ExecutionWrite

Row = tuple[Any, ...]


class Rows:
    """The rows of one batch, by statement. Names are those of the `.sql` files."""

    __slots__ = (
        "arm_timers",
        "delete_task_runs",
        "drop_timers",
        "insert_events",
        "insert_executions",
        "insert_task_runs",
        "submit_task_runs",
        "update_executions",
        "upsert_task_runs",
        "withdraw_task_runs",
    )

    def __init__(self, writes: Sequence[ExecutionWrite]) -> None:
        for name in self.__slots__:
            setattr(self, name, [])
        for write in writes:
            self._add(write)

    insert_executions: list[Row]
    update_executions: list[Row]
    insert_events: list[Row]
    insert_task_runs: list[Row]
    upsert_task_runs: list[Row]
    submit_task_runs: list[Row]
    withdraw_task_runs: list[Row]
    delete_task_runs: list[Row]
    arm_timers: list[Row]
    drop_timers: list[Row]

    def _add(self, write: ExecutionWrite) -> None:
        execution = write.execution
        if write.read_seq == 0:
            self.insert_executions.append(_inserted(execution))
        else:
            self.update_executions.append(_updated(execution, write.read_seq))
        if write.events:
            text = encoding.events_text(write.events)
            self.insert_events.append((execution.id, write.read_seq + 1, write.events[0].at, text))
        if execution.dirty or write.submitted or write.withdrawn:
            self._add_task_runs(write)
        for timer in write.timers:
            self.arm_timers.append((execution.id, timer.seq, timer.kind, timer.due, timer.task_run_id))
        for seq, kind in write.fired:
            self.drop_timers.append((execution.id, seq, kind))

    def _add_task_runs(self, write: ExecutionWrite) -> None:
        execution = write.execution
        numbers = encoding.numbered(execution, write.read_seq)
        wanted = jobs_wanted(write)
        withdrawn = set(write.withdrawn) - wanted.keys()
        plain = self.insert_task_runs if write.read_seq == 0 else self.upsert_task_runs
        for id in execution.dirty | wanted.keys() | withdrawn:
            run = execution.task_runs.get(id)
            if run is None:
                self.delete_task_runs.append((execution.id, id))
                continue
            job = wanted.get(id)
            if job is not None:
                self.submit_task_runs.append(_submitted(run, numbers.get(id, 0), job))
            elif id in withdrawn and id not in numbers:
                self.withdraw_task_runs.append((execution.id, id, run.state, encoding.task_run_text(run)))
            else:
                plain.append((execution.id, id, numbers.get(id, 0), run.state, encoding.task_run_text(run)))


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


def _updated(execution: Execution, read_seq: int) -> Row:
    return (
        execution.id,
        read_seq,
        execution.flow_revision,
        execution.state,
        encoding.ended(execution),
        encoding.labels_text(execution.labels),
        execution.deleted,
        execution.seq,
        encoding.head_text(execution),
    )


def _submitted(run: TaskRun, n: int, job: Job) -> Row:
    return (
        job.execution_id,
        run.id,
        n,
        run.state,
        encoding.task_run_text(run),
        jobs.encode(job).decode(),
        job.queue,
        job.priority,
        job.attempt,
    )


def out(batch: Commit) -> list[Row]:
    return [(entry.partition, entry.off, encoding.command_text(entry.command)) for entry in batch.out]


def dead_letters(batch: Commit) -> list[Row]:
    return [
        (dead.topic, dead.partition, dead.offset, dead.key, dead.reason, dead.detail, dead.body, dead.at)
        for dead in batch.dead
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
