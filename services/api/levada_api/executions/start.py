"""POST /executions/{namespace}/{flow}: accept a new execution.

Accepted means durable: the answer is sent after the start command is committed to the bus, and shows the execution as
the executor will create it. With `wait=true` it is sent when the execution has ended.

This is the hottest path of the API. It parses no YAML (flows are cached), encodes with msgspec, and asks the store
nothing: the executor's announcement says when the execution is there.
"""

from typing import Any

from aiohttp import web

from levada.model.commands import StartExecution
from levada.model.flow import Flow
from levada.runtime import telemetry
from levada.runtime.created import document
from levada_api import errors, inputs, labels
from levada_api.call import Call, instant, json
from levada_api.commands import load, send_start
from levada_api.executions import resolving
from levada_api.render import execution as render

KINDS = frozenset({"NORMAL", "TEST", "PLAYGROUND", "LOOP"})
TERMINAL_LOOK_S = 1.0


async def create(call: Call) -> web.Response:
    flow = await startable(call, call.params["namespace"], call.params["id"])
    return await start(call, flow)


async def startable(call: Call, namespace: str, flow_id: str) -> Flow:
    """Return the flow to start. Raises 404 when there is none, 409 when it is disabled or a draft."""
    revision = call.optional_integer("revision")
    flow = await call.api.flows.get(call.tenant, namespace, flow_id)
    if flow is not None and revision is not None:
        flow = await call.api.flows.get(call.tenant, namespace, flow_id, revision)
    if flow is None:
        raise errors.not_found("Requested Flow is not found.")
    if flow.disabled:
        raise errors.illegal_state("Requested Flow is disabled.")
    if flow.draft:
        raise errors.illegal_state("Requested Flow is a draft.")
    return flow


async def start(call: Call, flow: Flow) -> web.Response:
    api = call.api
    query = call.request.query
    execution_id = api.new_id()
    received = await inputs.receive(call, flow.inputs, inputs.Place(flow.namespace, flow.id, execution_id))
    try:
        command = await _command(call, flow, execution_id, received)
    except BaseException:
        await received.discard(api.platform.files)
        raise
    waits = "wait" in query and call.flag("wait")
    now = api.now()
    await send_start(api, command)
    if waits:
        return json(await _ended(call, flow, execution_id))
    return json(created(call, flow, command, now))


async def _command(call: Call, flow: Flow, execution_id: str, received: inputs.Received) -> StartExecution:
    query = call.request.query
    asked, correlation = labels.of_query([*call.args("labels"), *received.labels])
    if asked:
        labels.check_size(call.api, asked)
    values = await resolving.for_start(call.api, flow, execution_id, received.values)
    kind = query.get("kind") or None
    if kind is not None and kind not in KINDS:
        raise errors.unprocessable(f"`kind` must be one of {', '.join(sorted(KINDS))}, is `{kind}`")
    when = query.get("scheduleDate") or None
    return StartExecution(
        execution_id=execution_id,
        tenant=call.tenant,
        namespace=flow.namespace,
        flow_id=flow.id,
        flow_revision=flow.revision,
        inputs=values,
        resolved=True,
        labels=asked,
        correlation_id=correlation,
        scheduled=instant(when, "scheduleDate") if when is not None else None,
        kind=None if kind == "NORMAL" else kind,
        breakpoints=[point for text in call.args("breakpoints") for point in text.split(",")],
        trace_parent=telemetry.new_trace(execution_id),
    )


async def _ended(call: Call, flow: Flow, execution_id: str) -> dict[str, Any]:
    """Wait for the end without limit: the caller asked for it, and leaves when it has had enough."""
    api = call.api
    with api.streams.open():
        while not _gone(call):
            found = await load(api, call.tenant, execution_id)
            if found is not None and found.is_terminal:
                out = render.execution(found, api.now())
                out["url"] = url(call, flow.namespace, flow.id, execution_id)
                return out
            await api.platform.hub.wait(execution_id, TERMINAL_LOOK_S)
    raise errors.ApiError(503, f"the server stops before execution {execution_id} has ended; the execution goes on")


def _gone(call: Call) -> bool:
    transport = call.request.transport
    return transport is None or transport.is_closing()


def created(call: Call, flow: Flow, command: StartExecution, now: int) -> dict[str, Any]:
    """The execution as it will be created."""
    return document(flow, command, now, call.api.address())


def url(call: Call, namespace: str, flow_id: str, execution_id: str) -> str:
    return f"{call.api.address()}/ui/executions/{namespace}/{flow_id}/{execution_id}"


async def validate(call: Call) -> web.Response:
    """POST /executions/{namespace}/{id}/validate: check inputs without starting anything."""
    flow = await startable(call, call.params["namespace"], call.params["id"])
    execution_id = call.api.new_id()
    received = await inputs.receive(call, flow.inputs, inputs.Place(flow.namespace, flow.id, execution_id))
    try:
        return json(await resolving.report(call.api, flow, execution_id, received.values))
    finally:
        await received.discard(call.api.platform.files)
