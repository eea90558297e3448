"""What a commit's parts amount to, for every adapter alike."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from levada.model.errors import UserError
from levada.model.jobs import Job
from levada.store import encoding
from levada.store.port import ExecutionWrite, FlowRow, SlotChange

T = TypeVar("T")


def jobs_wanted(write: ExecutionWrite) -> dict[str, Job]:
    """Return the attempts to queue by task run: the last of each, unless the same batch ended it again."""
    wanted = {job.task_run_id: job for job in write.submitted}
    for id in list(wanted):
        run = write.execution.task_runs.get(id)
        if run is None or (id in write.withdrawn and not encoding.waits(run.state)):
            del wanted[id]
    return wanted


def last_of_each(changes: Sequence[SlotChange]) -> list[SlotChange]:
    """Return what is left of the changes of each execution and flow: one that starts and ends in the same batch leaves
    no trace. Only who gives a slot back and queues again does both: the slot is not the one it waits for.
    """
    last: dict[tuple[str, str], SlotChange] = {}
    released: dict[tuple[str, str], SlotChange] = {}
    for change in changes:
        key = (change.flow_key, change.execution_id)
        last[key] = change
        if change.kind == "release":
            released[key] = change
    left = []
    for key, change in last.items():
        if change.kind == "queue" and key in released:
            left.append(released[key])
        left.append(change)
    return left


def limits_of(changes: Sequence[SlotChange]) -> dict[str, int]:
    """Return the limit of each flow as the last change that knows it says."""
    return {change.flow_key: change.limit for change in changes if change.limit is not None}


def same(latest: FlowRow, row: FlowRow) -> bool:
    """Whether saving `row` over the latest revision would change nothing."""
    return (latest.source, latest.disabled, latest.draft) == (row.source, row.disabled, row.draft)


def sorted_by(
    rows: Sequence[T],
    sort: Sequence[tuple[str, bool]],
    fields: Collection[str],
    value: Callable[[T, str], Any] = getattr,
) -> list[T]:
    """Return rows in the order of (field, descending), None last in both directions. Raises UserError."""
    ordered = list(rows)
    for field, descending in reversed(sort):
        if field not in fields:
            raise UserError(f"cannot sort by `{field}`, only by {', '.join(sorted(fields))}")
        present = [row for row in ordered if value(row, field) is not None]
        absent = [row for row in ordered if value(row, field) is None]
        present.sort(key=lambda row: value(row, field), reverse=descending)
        ordered = present + absent
    return ordered
