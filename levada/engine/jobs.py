"""Handing attempts to workers: what travels with a job, and which slice of the variables.

Only what the task's expressions read is sent; where `render()` makes that unknowable, everything is.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from levada import expr
from levada.engine.plan import CONTROLS, Kind, Node
from levada.engine.turn import Turn
from levada.model import routes
from levada.model.effects import SubmitJob
from levada.model.events import TaskRunSubmitted
from levada.model.execution import TaskRun
from levada.model.flow import Task
from levada.model.jobs import Job, JobKind, JobTask

_ALWAYS = ("flow", "execution", "task", "taskrun")


def submit(turn: Turn, run: TaskRun, node: Node, since: int | None = None) -> None:
    """Put the next attempt of the task itself on the work queue; `since` is the place that it had there before."""
    kind = JobKind.WORKING_DIRECTORY if node.kind is Kind.WORKING_DIRECTORY else JobKind.RUN
    _submit(turn, run, node, kind, _job_task(node.task), since)


def submit_evaluation(turn: Turn, run: TaskRun, node: Node, since: int | None = None) -> None:
    """Let a worker render what the executor would evaluate but can not, because it needs a service."""
    wanted: dict[str, Any] = {}
    if node.task.run_if is not None:
        wanted["runIf"] = node.task.run_if
    if node.kind is Kind.CONTAINER:
        names = CONTROLS.get(node.task.type, ())
        wanted.update({name: node.task.properties[name] for name in names if name in node.task.properties})
    else:
        wanted["properties"] = node.task.properties
    task = JobTask(id=node.task.id, type=node.task.type, properties=wanted)
    _submit(turn, run, node, JobKind.EVALUATE, task, since)


def _submit(turn: Turn, run: TaskRun, node: Node, kind: JobKind, task: JobTask, since: int | None) -> None:
    x = turn.execution
    attempt = run.attempt + 1
    turn.emit(TaskRunSubmitted(at=turn.now, id=run.id, attempt=attempt))
    job = Job(
        execution_id=x.id,
        task_run_id=run.id,
        attempt=attempt,
        tenant=x.tenant,
        namespace=x.namespace,
        flow_id=x.flow_id,
        flow_revision=x.flow_revision,
        task=task,
        kind=kind,
        queue=queue_of(turn, node),
        if_no_worker=fallback_of(turn, node),
        since=since,
        variables=slice_of(turn, run, node, task),
        value=run.value,
        iteration=run.iteration,
        on_worker_lost=node.task.on_worker_lost,
        trace_parent=x.trace_parent,
    )
    turn.effect(SubmitJob(job=job))


def queue_of(turn: Turn, node: Node) -> str:
    """Return the route of the task: its own choice of worker, else its flow's."""
    return routes.of_group(node.task.worker_group or turn.plan.flow.worker_group)


def fallback_of(turn: Turn, node: Node) -> str | None:
    """Return what is to be done when no worker serves the route of the task; None where it shall wait."""
    group = node.task.worker_group or turn.plan.flow.worker_group or {}
    chosen = group.get("fallback")
    return None if chosen in (None, "WAIT") else str(chosen)


def slice_of(turn: Turn, run: TaskRun, node: Node, task: JobTask) -> dict[str, Any]:
    """The variables that the job's expressions read, as plain data. Sealed inputs stay sealed: the worker opens them."""
    variables = {**turn.variables(run, node), "inputs": turn.execution.inputs or {}}
    reads = expr.references(msgspec.to_builtins(task))
    turn.add_states(variables, reads)
    if reads.whole:
        return {name: plain(value) for name, value in variables.items()}
    sliced: dict[str, Any] = {name: variables[name] for name in _ALWAYS}
    for path in reads.paths:
        root = path[0]
        if root not in variables or root in _ALWAYS:
            continue
        if root == "outputs" and len(path) > 1:
            outputs = sliced.setdefault("outputs", {})
            if path[1] in variables["outputs"]:
                outputs[path[1]] = plain(variables["outputs"][path[1]])
        else:
            sliced[root] = plain(variables[root])
    if any(path == ("outputs",) for path in reads.paths):
        sliced["outputs"] = plain(variables["outputs"])
    return sliced


def plain(value: Any) -> Any:
    """Return lazy mappings as dicts, all the way down."""
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in value}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _job_task(task: Task) -> JobTask:
    return JobTask(
        id=task.id,
        type=task.type,
        properties=task.properties,
        timeout=task.timeout,
        log_level=task.log_level,
        log_to_file=task.log_to_file,
        run_if=task.run_if,
        disabled=task.disabled,
        allow_failure=task.allow_failure,
        allow_warning=task.allow_warning,
        branches={name: [_job_task(child) for child in children] for name, children in task.branches.items()},
        retry=msgspec.to_builtins(task.retry) if task.retry is not None else None,
        task_cache=task.task_cache,
    )
