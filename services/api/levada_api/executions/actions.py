"""What may be asked of an execution: kill, restart, replay, pause, resume, change a state, set labels, delete …

One recipe for all: load the execution, make the command, let the engine preview it (which refuses what does not fit, and
computes the execution to answer with), send it, wait a moment until it is applied. The preview decides nothing for good:
the executor decides again, in order with everything else that happens to the execution.

Two generations of paths lead here. `/{id}/kill` and `/{id}/resume` answer without a body as 1.x did, the same under
`/{id}/actions/` with the execution.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from levada import engine
from levada.model import commands
from levada.model.execution import Execution
from levada.model.flow import Flow, Input
from levada.model.states import State
from levada.runtime import sealing
from levada_api import errors, filters, inputs, labels
from levada_api.call import Call, empty, json
from levada_api.commands import applied, send_and_wait
from levada_api.executions import removal, resolving, start
from levada_api.executions.read import found
from levada_api.render import execution as render

_EXECUTION_ID = re.compile(r"[0-9A-Za-z]{16,}")


class Ask(msgspec.Struct, kw_only=True):
    """The arguments of an action, whoever gave them: path, query or body."""

    user: str
    new_id: Callable[[], str]
    cascade: bool = True
    revision: int | None = None
    state: State | None = None
    task_run_id: str | None = None
    inputs: dict[str, Any] | None = None
    labels: list[tuple[str, str]] = []
    breakpoints: list[str] = []


Maker = Callable[[Execution, Ask], commands.Command]


def _kill(x: Execution, ask: Ask) -> commands.Command:
    return commands.KillExecution(execution_id=x.id, cascade=ask.cascade, by=ask.user)


def _restart(x: Execution, ask: Ask) -> commands.Command:
    """Another revision means another execution, which takes over what did not fail."""
    if ask.revision is not None and ask.revision != x.flow_revision:
        return msgspec.structs.replace(_replay(x, ask), replay_failed=True)
    return commands.RestartExecution(execution_id=x.id)


def _replay(x: Execution, ask: Ask) -> commands.Command:
    return commands.StartExecution(
        execution_id=ask.new_id(),
        tenant=x.tenant,
        namespace=x.namespace,
        flow_id=x.flow_id,
        flow_revision=ask.revision or x.flow_revision,
        inputs=ask.inputs if ask.inputs is not None else x.inputs,
        resolved=True,
        labels=list(x.labels),
        trigger=x.trigger,
        kind=x.kind,
        original_id=x.original_id or x.id,
        replay_of=x.id,
        replay_from=ask.task_run_id,
        breakpoints=ask.breakpoints,
    )


def _pause(x: Execution, ask: Ask) -> commands.Command:
    return commands.PauseExecution(execution_id=x.id)


def _resume(x: Execution, ask: Ask) -> commands.Command:
    return commands.ResumeExecution(execution_id=x.id, inputs=ask.inputs, by=ask.user)


def _change_status(x: Execution, ask: Ask) -> commands.Command:
    assert ask.state is not None
    return commands.ChangeExecutionState(execution_id=x.id, state=ask.state)


def _set_labels(x: Execution, ask: Ask) -> commands.Command:
    return commands.SetLabels(execution_id=x.id, labels=ask.labels)


def _force_run(x: Execution, ask: Ask) -> commands.Command:
    return commands.ForceRunExecution(execution_id=x.id)


def _unqueue(x: Execution, ask: Ask) -> commands.Command:
    return commands.UnqueueExecution(execution_id=x.id, state=ask.state or State.RUNNING)


MAKERS: dict[str, Maker] = {
    "kill": _kill,
    "restart": _restart,
    "replay": _replay,
    "pause": _pause,
    "resume": _resume,
    "change-status": _change_status,
    "labels": _set_labels,
    "force-run": _force_run,
    "unqueue": _unqueue,
}


WITHOUT_FLOW = (
    commands.KillExecution,
    commands.SetLabels,
    commands.DeleteExecution,
    commands.ChangeExecutionState,
)


async def flow_for(call: Call, x: Execution, revision: int | None = None) -> Flow:
    """Return the flow the execution runs (or shall run), also when it was deleted since. Raises 404, BrokenFlow."""
    flow = await call.api.flows.get(x.tenant, x.namespace, x.flow_id, revision or x.flow_revision)
    if flow is None:
        raise errors.not_found(
            f"Unable to find revision {revision or x.flow_revision} of flow {x.namespace}.{x.flow_id}"
        )
    return flow


async def perform(call: Call, x: Execution, command: commands.Command, revision: int | None = None) -> Execution:
    """Preview, send, wait; return the execution as computed. Raises what the engine refuses."""
    if isinstance(command, WITHOUT_FLOW):
        # People must be able to stop or label what runs a flow that cannot be read any more.
        flow = await call.api.flows.find(x.tenant, x.namespace, x.flow_id, x.flow_revision)
        flow = flow or Flow(id=x.flow_id, namespace=x.namespace, revision=x.flow_revision)
    else:
        flow = await flow_for(call, x, revision)
    seen = x.seq if command.execution_id == x.id else -1
    computed = preview(x, flow, command, call.api.now())
    await send_and_wait(call.api, command, seen, x.tenant)
    return computed


def preview(x: Execution, flow: Flow, command: commands.Command, now: int) -> Execution:
    """Return the execution as the command leaves it. Raises Refused. `x` is consumed, unless it is only copied from."""
    if isinstance(command, commands.StartExecution):
        return engine.preview_start(flow, command, now, x)
    return engine.preview(x, flow, command, now)


def _ask(call: Call, **given: Any) -> Ask:
    return Ask(user=call.user, new_id=call.api.new_id, **given)


def _shown(call: Call, x: Execution) -> web.Response:
    out = render.execution(x, call.api.now())
    out["url"] = start.url(call, x.namespace, x.flow_id, x.id)
    return json(out)


async def _do(call: Call, name: str, ask: Ask) -> Execution:
    x = await found(call)
    return await perform(call, x, MAKERS[name](x, ask), ask.revision)


async def kill(call: Call) -> web.Response:
    """1.x: 202 without a body, also for an execution that has ended."""
    x = await found(call)
    if not x.is_terminal:
        await perform(call, x, _kill(x, _ask(call, cascade=call.flag("isOnKillCascade", True))))
    return empty(202)


async def kill_shown(call: Call) -> web.Response:
    return _shown(call, await _do(call, "kill", _ask(call, cascade=call.flag("isOnKillCascade", True))))


async def restart(call: Call) -> web.Response:
    return _shown(call, await _do(call, "restart", _ask(call, revision=call.optional_integer("revision"))))


async def replay(call: Call) -> web.Response:
    return _shown(call, await _do(call, "replay", _replay_ask(call)))


def _replay_ask(call: Call) -> Ask:
    return _ask(
        call,
        revision=call.optional_integer("revision"),
        task_run_id=call.arg("taskRunId"),
        breakpoints=[point for text in call.args("breakpoints") for point in text.split(",")],
    )


async def replay_with_inputs(call: Call) -> web.Response:
    """The same with other inputs; those not given keep the values of the execution replayed."""
    x = await found(call)
    ask = _replay_ask(call)
    command = _replay(x, ask)
    flow = await flow_for(call, x, ask.revision)
    received = await inputs.receive(call, flow.inputs, inputs.Place(x.namespace, x.flow_id, command.execution_id))
    try:
        if received.values:
            opened = sealing.opener(call.api.platform.encryption_key)(x.inputs or {})
            kept = {key: value for key, value in opened.items() if value is not None}
            values = await resolving.for_start(call.api, flow, command.execution_id, {**kept, **received.values})
            command = msgspec.structs.replace(command, inputs=values)
        return _shown(call, await perform(call, x, command, ask.revision))
    except BaseException:
        await received.discard(call.api.platform.files)
        raise


async def pause(call: Call) -> web.Response:
    return _shown(call, await _do(call, "pause", _ask(call)))


async def resume(call: Call) -> web.Response:
    """1.x: 204 without a body."""
    await _resume_with_inputs(call)
    return empty()


async def resume_shown(call: Call) -> web.Response:
    return _shown(call, await _resume_with_inputs(call))


async def _resume_with_inputs(call: Call) -> Execution:
    x = await found(call)
    declared = asked_on_resume(x, await flow_for(call, x))
    received = await inputs.receive(call, declared, inputs.Place(x.namespace, x.flow_id, x.id))
    try:
        return await perform(call, x, _resume(x, _ask(call, inputs=received.values)))
    except BaseException:
        await received.discard(call.api.platform.files)
        raise


def asked_on_resume(x: Execution, flow: Flow) -> list[Input]:
    """Return the inputs that the paused tasks of the execution ask for."""
    paused = {run.task_id for run in x.task_runs.values() if run.state is State.PAUSED}
    out = []
    for task in walk(flow):
        if task.id in paused:
            for declared in task.properties.get("onResume") or ():
                if isinstance(declared, dict) and isinstance(declared.get("id"), str):
                    out.append(Input(id=declared["id"], type=str(declared.get("type", "STRING")).upper()))
    return out


def walk(flow: Flow) -> list[Any]:
    """Return every task of the flow, containers before what they contain."""
    out: list[Any] = []
    pending = [*flow.tasks, *flow.errors, *flow.finally_, *flow.after_execution]
    while pending:
        task = pending.pop(0)
        out.append(task)
        pending[:0] = [child for children in task.branches.values() for child in children]
    return out


async def force_run(call: Call) -> web.Response:
    return _shown(call, await _do(call, "force-run", _ask(call)))


async def unqueue(call: Call) -> web.Response:
    text = call.arg("state")
    state = filters.state(text, "state") if text else None
    return _shown(call, await _do(call, "unqueue", _ask(call, state=state)))


async def change_status(call: Call) -> web.Response:
    state = filters.state(call.required("status"), "status")
    return _shown(call, await _do(call, "change-status", _ask(call, state=state)))


class _TaskRunState(msgspec.Struct, rename="camel"):
    task_run_id: str
    state: str


async def change_task_run(call: Call) -> web.Response:
    """POST /executions/{id}/state `{taskRunId, state}`"""
    try:
        asked = msgspec.convert(await call.json(), _TaskRunState)
    except msgspec.ValidationError as error:
        raise errors.unprocessable(
            f'the body must look like {{"taskRunId": "…", "state": "SUCCESS"}}: {error}'
        ) from None
    x = await found(call)
    command = commands.ChangeTaskRunState(
        execution_id=x.id, task_run_id=asked.task_run_id, state=filters.state(asked.state, "state")
    )
    return _shown(call, await perform(call, x, command))


async def set_labels(call: Call) -> web.Response:
    given = labels.of_body(await call.json())
    labels.check_size(call.api, given)
    return _shown(call, await _do(call, "labels", _ask(call, labels=given)))


async def delete(call: Call) -> web.Response:
    x = await found(call)
    await perform(call, x, commands.DeleteExecution(execution_id=x.id))
    await applied(call.api, x.tenant, x.id, lambda head: head is None or head.deleted)
    await removal.remove(call.api, [x], removal.parts_of(call))
    return empty()


def or_start(action: Callable[[Call], Awaitable[web.StreamResponse]], name: str) -> Any:
    """`POST /executions/{a}/{name}` is an action if `a` can be an execution's id, else the start of flow `name` in `a`.

    So flows may be called like actions.
    """

    async def either(call: Call) -> web.StreamResponse:
        first = call.params["execution"]
        if _EXECUTION_ID.fullmatch(first) is None:
            call.params["namespace"], call.params["id"] = first, name
            return await start.create(call)
        return await action(call)

    either.__name__ = action.__name__
    return either
