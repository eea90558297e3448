"""What people ask of one execution, one thing after the other, happens in this order, also where the bus mixes it up.

Each command is on the bus in the order in which the process that accepted it sent it. But people's requests are accepted by
several processes: a second request may be on the bus before the first, which was acknowledged by another process whose way to
the brokers is slow for a moment; and what the bus lost is sent again late. Postgres knows the order: the table `ingress`
numbers what it accepts. So before a command of a person is applied, what was accepted earlier for the same execution and has
not come yet is taken from the table and applied first. When it comes after all, it was applied before and is skipped.

A worker's result may be before its start in the same way, when it was handed in at another gateway than the one that gave
the attempt out. The engine knows no token then and would not believe it; so such a result waits for its start like this too.
And so does the loss of a worker, for all that the worker said before: of an attempt whose start was lost on the bus the engine
would believe that it never ran, and run it again where the flow forbids it; a result that was acknowledged would be forgotten.

Other commands of workers, timers and other executions are not looked at: the engine takes these in any order.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from levada.bus.port import COMMANDS, UNREADABLE, Record
from levada.model import commands as cmd
from levada.store.port import Accepted, Ingress

log = logging.getLogger("levada.executor")

BY_PEOPLE = (
    cmd.UnqueueExecution,
    cmd.ForceRunExecution,
    cmd.KillExecution,
    cmd.PauseExecution,
    cmd.ResumeExecution,
    cmd.RestartExecution,
    cmd.ChangeTaskRunState,
    cmd.ChangeExecutionState,
    cmd.SetLabels,
    cmd.DeleteExecution,
)

NOT_BEFORE = (*BY_PEOPLE, cmd.WorkerLost)
"""Commands that are applied after all that was accepted before them, whatever it is."""

RESULTS = (cmd.TaskFinished, cmd.TaskProgressed)
Result = cmd.TaskFinished | cmd.TaskProgressed

NOT_FROM_THE_BUS = -1
"""The offset of a record that was taken from the table: it moves no position."""


class Work(NamedTuple):
    """A record and what it says; None: it can not be read. `repeated`: it was applied before, only its position counts."""

    record: Record
    command: cmd.Command | None
    repeated: bool = False


def read(records: Sequence[Record]) -> list[Work]:
    """Read the records; one that comes twice in a batch is applied once."""
    work, seen = [], set()
    for record in records:
        repeated = bool(record.id) and record.id in seen
        seen.add(record.id)
        work.append(Work(record, _decoded(record), repeated))
    return work


async def in_order(
    work: Sequence[Work], ingress: Ingress, unstarted: Callable[[Result], bool] = lambda result: False
) -> list[Work]:
    """Return the work with what was overtaken put in before the command that overtook it.

    `unstarted` says of a result whether nobody here knows that its attempt was begun. Asks the table only when there is
    such a result, a lost worker, or a command of a person. Raises Transient.
    """
    bound = _bound(work, unstarted)
    asked = {one.command.execution_id: one.record.partition for one in bound if one.command is not None}
    if not asked:
        return list(work)
    late = {one.record.id for one in bound}
    waiting: dict[str, list[Accepted]] = defaultdict(list)
    for row in await ingress.of(sorted(set(asked.values())), list(asked)):
        waiting[row.key].append(row)
    places = {row.id: place for rows in waiting.values() for place, row in enumerate(rows)}
    ordered: list[Work] = []
    done: set[str] = set()
    for one in work:
        if one.record.id not in places or one.repeated:
            ordered.append(one)
            continue
        if one.record.id in late:
            overtaken = waiting[one.record.key][: places[one.record.id]]
            ordered += [_early(row) for row in overtaken if row.id not in done]
            done.update(row.id for row in overtaken)
        ordered.append(Work(one.record, one.command, one.record.id in done))
        done.add(one.record.id)
    return ordered


def _bound(work: Sequence[Work], unstarted: Callable[[Result], bool]) -> list[Work]:
    """Return what must not be applied before what was accepted before it."""
    found, begun = [], set()
    for one in work:
        command = one.command
        if isinstance(command, cmd.TaskStarted):
            begun.add((command.task_run_id, command.attempt))
        elif isinstance(command, NOT_BEFORE) or (
            isinstance(command, RESULTS) and (command.task_run_id, command.attempt) not in begun and unstarted(command)
        ):
            found.append(one)
    return found


def _early(row: Accepted) -> Work:
    log.info("a command for %s was overtaken on the bus and is applied from the table", row.key)
    record = Record(COMMANDS, row.partition, NOT_FROM_THE_BUS, row.key, row.body, row.id, at=row.at)
    return Work(record, _decoded(record))


def _decoded(record: Record) -> cmd.Command | None:
    if UNREADABLE in record.headers:
        return None
    try:
        command: cmd.Command = cmd.decode(record.body)
        return command
    # msgspec's errors and unknown tags of a newer version; brackets without end.
    except (ValueError, RecursionError) as error:
        log.warning("record %s/%s can not be read: %s", record.partition, record.offset, error)
        return None
