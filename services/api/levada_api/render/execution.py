"""Executions, task runs and states.

`execution` shows everything including task runs, `head` what a list shows. Both keep the 1.x members (outputs inline) and
the 2.0 ones (tenantId, metadata): clients of either read past what they do not know.
"""

from typing import Any

from levada.model.execution import Attempt, Execution, ExecutionHead, History, Origin, TaskRun
from levada.model.states import State
from levada.sdk.registry import PREFIX
from levada_api.render.times import date, duration

_SHOWS_END = frozenset(state for state in State if state.is_terminal) | {State.PAUSED}


def execution(found: Execution, now: int) -> dict[str, Any]:
    out = head(found, now)
    out["taskRunList"] = [task_run(found, run, now) for run in found.task_runs.values()]
    return out


def head(found: ExecutionHead, now: int) -> dict[str, Any]:
    out: dict[str, Any] = {
        "tenantId": found.tenant,
        "id": found.id,
        "namespace": found.namespace,
        "flowId": found.flow_id,
        "flowRevision": found.flow_revision,
        "state": state(found.state, found.history, now),
        "labels": labels(found.labels),
        "originalId": found.original_id or found.id,
        "deleted": found.deleted,
        "metadata": {
            "attemptNumber": found.attempt_number,
            "originalCreatedDate": date(
                found.original_created if found.original_created is not None else found.created
            ),
        },
    }
    if found.inputs is not None:
        out["inputs"] = found.inputs
    if found.outputs is not None:
        out["outputs"] = found.outputs
    if found.variables:
        out["variables"] = found.variables
    if found.trigger is not None:
        out["trigger"] = origin(found.trigger)
    if found.parent is not None:
        out["parentId"] = found.parent.execution_id
    if found.scheduled is not None:
        out["scheduleDate"] = date(found.scheduled)
    if found.kind is not None:
        out["kind"] = found.kind
    if found.breakpoints:
        out["breakpoints"] = [{"id": point} for point in found.breakpoints]
    return out


def task_run(found: ExecutionHead, run: TaskRun, now: int) -> dict[str, Any]:
    out: dict[str, Any] = {
        "id": run.id,
        "executionId": found.id,
        "namespace": found.namespace,
        "flowId": found.flow_id,
        "taskId": run.task_id,
        "state": state(run.state, run.history, now),
    }
    if run.parent_id is not None:
        out["parentTaskRunId"] = run.parent_id
    if run.value is not None:
        out["value"] = run.value
    if run.iteration is not None:
        out["iteration"] = run.iteration
    if run.attempts:
        out["attempts"] = [attempt(one, now) for one in run.attempts]
    if run.outputs is not None:
        out["outputs"] = run.outputs
    if run.dynamic:
        out["dynamic"] = True
    return out


def attempt(one: Attempt, now: int) -> dict[str, Any]:
    out: dict[str, Any] = {"state": state(one.state, one.history, now)}
    if one.worker is not None:
        out["workerId"] = one.worker
    if one.log_file is not None:
        out["logFile"] = one.log_file
    return out


def state(current: State, history: History, now: int) -> dict[str, Any]:
    """`duration` runs to `now` while open; an end is shown when there is one, and for a pause."""
    start, last = history[0][1], history[-1][1]
    ended = current in _SHOWS_END
    out: dict[str, Any] = {
        "current": current.value,
        "histories": [{"state": each.value, "date": date(at)} for each, at in history],
        "startDate": date(start),
        "duration": duration((last if ended else now) - start),
    }
    if ended:
        out["endDate"] = date(last)
    return out


def labels(pairs: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs]


def origin(trigger: Origin) -> dict[str, Any]:
    return {"id": trigger.id, "type": full_type(trigger.type), "variables": trigger.variables}


def full_type(name: str) -> str:
    """Return the full name of a canonical type; names outside Kestra's plugin packages are full already."""
    if name.startswith(("io.", "com.", "org.", "dev.", "levada.")):
        return name
    return PREFIX + name


def bulk(count: int, operation: str) -> dict[str, Any]:
    """The answer to an operation on many; clients of different age read `count` or `totalItems`."""
    return {"count": count, "totalItems": count, "operationId": operation}
