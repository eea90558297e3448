"""Why does this execution not move? One look at what the tables say, and an answer in words.

`Facts` is what was read; `causes` is pure and turns it into sentences: what it waits for, since when, until when, and what
would help. The order is that of usefulness: what stops everything (nobody owns the partition, the flow is broken) comes
before what stops one task. An execution that moves gets an answer as well: what it is doing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from levada.model.execution import Execution, TaskRun
from levada.model.routes import parsed, serves
from levada.model.states import State
from levada.store.members import Member
from levada.store.operations import AcceptedFact, LeaseFact, ParkedLetter, SlotFact, TimerFact

SHOWN = 5
#: A lag below this is what a busy executor has anyway.
LAG_WORTH_TELLING = 100


class Cause(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """`code` is for programs, `message` for people; times are epoch microseconds."""

    code: str
    message: str
    remedy: str | None = None
    task_run_id: str | None = None
    task_id: str | None = None
    since: int | None = None
    until: int | None = None
    #: Other executions that this one waits for.
    executions: list[str] = []


class Facts(msgspec.Struct, kw_only=True):
    """What was read about one execution; `execution` None: there is none (yet)."""

    execution_id: str
    now: int
    execution: Execution | None
    partition: int
    #: Who owns the execution's partition; None: nobody who is alive.
    owner: str | None
    #: Records of that partition that are not applied yet.
    lag: int
    #: Why the flow can not be read, if so.
    flow_error: str | None = None
    leases: Sequence[LeaseFact] = ()
    timers: Sequence[TimerFact] = ()
    slots: Sequence[SlotFact] = ()
    accepted: Sequence[AcceptedFact] = ()
    letters: Sequence[ParkedLetter] = ()
    workers: Sequence[Member] = ()
    #: Queue → attempts that wait in it before the first of this execution.
    ahead: Mapping[str, int] = {}


def causes(facts: Facts) -> list[Cause]:
    """Return what keeps the execution, the weightiest first; at least one."""
    execution = facts.execution
    found = [*_letters(facts)]
    if execution is not None and execution.is_terminal:
        return [*found, _ended(execution)]
    found += _control_plane(facts)
    if execution is None:
        return found or [_unknown(facts)]
    if facts.flow_error is not None:
        found.append(
            Cause(code="FLOW_BROKEN", message=f"its flow can not be read: {facts.flow_error}", remedy="mend the flow")
        )
    found += _of_state(facts, execution)
    found += _of_tasks(facts, execution)
    return found or [_working(facts, execution)]


def _ended(execution: Execution) -> Cause:
    why = f": {execution.error}" if execution.error else ""
    return Cause(code="ENDED", message=f"it ended {execution.state}{why}", since=execution.history[-1][1])


def _unknown(facts: Facts) -> Cause:
    return Cause(code="UNKNOWN", message=f"there is no execution {facts.execution_id}, and nobody has asked for one")


def _letters(facts: Facts) -> Iterator[Cause]:
    for letter in facts.letters[:SHOWN]:
        yield Cause(
            code="DEAD_LETTER",
            message=f"a message for it became dead letter {letter.id}: {letter.reason}",
            remedy=f"levada dead-letters show {letter.id}, then replay or drop it",
            since=letter.at,
        )


# --- what stops everything


def _control_plane(facts: Facts) -> Iterator[Cause]:
    waiting = facts.accepted
    if facts.owner is None:
        yield Cause(
            code="NO_EXECUTOR",
            message=f"nobody owns partition {facts.partition} of the commands topic: no executor is alive that could",
            remedy="start an executor (`levada serve executor`), or look why those there are do not take it",
        )
    elif waiting and facts.lag:
        yield Cause(
            code="LAG",
            message=f"{many(len(waiting), 'command')} for it wait with {facts.lag} others in partition "
            f"{facts.partition}, which executor {facts.owner} is working off",
            since=waiting[0].at,
        )
    elif waiting:
        yield Cause(
            code="ON_ITS_WAY",
            message=f"{many(len(waiting), 'command')} for it were accepted and are not on the bus yet; "
            "what is missing there is sent again after a few seconds",
            remedy="look whether the brokers can be reached",
            since=waiting[0].at,
        )
    elif facts.lag > LAG_WORTH_TELLING:
        yield Cause(
            code="LAG",
            message=f"executor {facts.owner} is {facts.lag} records behind in partition {facts.partition}",
            remedy="start more executors",
        )


# --- the execution as a whole


def _of_state(facts: Facts, execution: Execution) -> Iterator[Cause]:
    since = execution.history[-1][1]
    match execution.state:
        case State.QUEUED:
            yield _queued(facts, since)
        case State.PAUSED:
            yield _paused(execution, since)
        case State.KILLING:
            deadline = _due(facts.timers, "kill_deadline")
            yield Cause(
                code="KILLING",
                message="it is being killed and waits for its workers to stop what runs"
                + (f", at the latest until {moment(deadline)}" if deadline else ""),
                since=since,
                until=deadline,
            )
        case State.CREATED if execution.scheduled is not None and execution.scheduled > facts.now:
            yield Cause(
                code="SCHEDULED",
                message=f"it is to start at {moment(execution.scheduled)}",
                until=execution.scheduled,
            )
        case State.RETRYING:
            due = _due(facts.timers, "flow_retry")
            yield Cause(
                code="FLOW_RETRY",
                message="it waits to be retried" + (f" at {moment(due)}" if due else ""),
                since=since,
                until=due,
            )


def _queued(facts: Facts, since: int) -> Cause:
    holders = [slot.execution_id for slot in facts.slots if slot.holds]
    waiting = [slot.execution_id for slot in facts.slots if not slot.holds]
    place = waiting.index(facts.execution_id) + 1 if facts.execution_id in waiting else 0
    by = f"held by {some(holders)}" if holders else "about to be given"
    position = f"; it is number {place} of {len(waiting)} who wait" if place else ""
    return Cause(
        code="CONCURRENCY_LIMIT",
        message=f"the concurrency limit of its flow is reached: its slots are {by}{position}",
        remedy="wait, end one of those, or raise the limit; `unqueue` and `force-run` let this one pass",
        since=since,
        executions=holders[:SHOWN],
    )


def _paused(execution: Execution, since: int) -> Cause:
    runs = [run for run in execution.task_runs.values() if run.state is State.PAUSED]
    due = min((run.due for run in runs if run.due is not None), default=None)
    at = f" in {some([run.task_id for run in runs])}" if runs else ""
    until = f", at the latest until {moment(due)}" if due else ""
    return Cause(
        code="PAUSED",
        message=f"it is paused{at} and waits to be resumed{until}",
        remedy=f"levada executions resume {execution.id}",
        since=since,
        until=due,
    )


# --- its tasks


def _of_tasks(facts: Facts, execution: Execution) -> list[Cause]:
    leases = {lease.task_run_id: lease for lease in facts.leases}
    found = []
    for run in execution.task_runs.values():
        if run.state.is_terminal or run.state is State.PAUSED or run.progress is not None:
            continue  # what is paused is told of the execution as a whole
        cause = _of_task(facts, run, leases.get(run.id))
        if cause is not None:
            found.append(cause)
    order = ("NO_WORKER", "WORKER_LOST", "WORKERS_BUSY")
    found.sort(key=lambda cause: order.index(cause.code) if cause.code in order else len(order))
    return found[: 2 * SHOWN]


def _of_task(facts: Facts, run: TaskRun, lease: LeaseFact | None) -> Cause | None:
    if lease is not None and lease.lease == "submitted":
        return _submitted(facts, run, lease)
    if lease is not None:
        return _claimed(facts, run, lease)
    if run.child_execution is not None:
        return _cause(run, "SUBFLOW", f"waits for execution {run.child_execution}", executions=[run.child_execution])
    if run.due is not None:
        what = "is retried" if run.state is State.RETRYING else "goes on"
        return _cause(run, "TIMER", f"{what} at {moment(run.due)}", until=run.due)
    if run.state is State.RUNNING:
        return _cause(run, "RUNNING", "is running in the executor")
    return None


def _submitted(facts: Facts, run: TaskRun, lease: LeaseFact) -> Cause:
    able = [worker for worker in facts.workers if worker.live and _serves(worker, lease.queue)]
    if not able:
        there = some([f"{one.name} ({', '.join(one.info.get('queues', ()))})" for one in facts.workers if one.live])
        return _cause(
            run,
            "NO_WORKER",
            f"waits for a worker of queue `{lease.queue}`, and there is none"
            + (f"; there are {there}" if there else ""),
            remedy=f"start one: {_starting(lease.queue)} levada serve worker",
            since=lease.submitted,
        )
    slots = sum(int(worker.info.get("slots", 0)) for worker in able)
    running = sum(int(worker.info.get("running", 0)) for worker in able)
    ahead = facts.ahead.get(lease.queue, 0)
    return _cause(
        run,
        "WORKERS_BUSY" if running >= slots else "WAITING_FOR_WORKER",
        f"waits in queue `{lease.queue}` behind {ahead} others: {many(len(able), 'worker')} with {running} of {slots} "
        "slots in use",
        remedy="start more workers, or give them more slots" if running >= slots else None,
        since=lease.submitted,
    )


def _starting(route: str) -> str:
    queue, tags, _ = parsed(route)
    return f"LEVADA_WORKER_QUEUES={queue}" + (f" LEVADA_WORKER_TAGS={','.join(sorted(tags))}" if tags else "")


def _serves(worker: Member, route: str) -> bool:
    return serves(route, worker.info.get("queues", ()), worker.info.get("tags", ()))


def _claimed(facts: Facts, run: TaskRun, lease: LeaseFact) -> Cause:
    until = lease.until
    if lease.lease == "lost" or (until is not None and until < facts.now):
        return _cause(
            run,
            "WORKER_LOST",
            f"ran on worker {lease.worker}, which has not been heard of in time; a new attempt is about to be made",
            until=until,
        )
    what = "is being stopped on" if lease.lease == "cancel" else "runs on"
    return _cause(run, "RUNNING", f"{what} worker {lease.worker} (attempt {lease.attempt})", until=until)


def _working(facts: Facts, execution: Execution) -> Cause:
    return Cause(
        code="WORKING",
        message=f"it is {execution.state} and nothing keeps it: executor {facts.owner} is working on it",
        since=execution.history[-1][1],
    )


# --- words


def _cause(run: TaskRun, code: str, what: str, **more: Any) -> Cause:
    since = more.pop("since", None) or run.history[-1][1]
    message = f"task {run.task_id} {what}"
    return Cause(code=code, message=message, task_run_id=run.id, task_id=run.task_id, since=since, **more)


def _due(timers: Sequence[TimerFact], kind: str) -> int | None:
    return next((timer.due for timer in timers if timer.kind == kind and not timer.fired), None)


def moment(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def many(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
