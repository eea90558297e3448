"""Reading executions: one, many, and what they ran."""

from typing import Any

import msgspec
from aiohttp import web

from levada.model.execution import Execution, ExecutionHead
from levada.store.port import ExecutionFilter
from levada_api import errors, filters
from levada_api.call import Call, json, page
from levada_api.commands import load
from levada_api.flows import saving
from levada_api.render import execution as render
from levada_api.render import flow as render_flow

SORTS = {
    "id": "id",
    "namespace": "namespace",
    "flowId": "flow_id",
    "state": "state",
    "state.current": "state",
    "state.startDate": "created",
    "startDate": "created",
    "state.endDate": "ended",
    "endDate": "ended",
    "state.duration": "duration",
    "duration": "duration",
}
NEWEST_FIRST = (("created", True),)
ALL = 1000


async def found(call: Call) -> Execution:
    """Return the execution of the path. Raises 404."""
    execution = await load(call.api, call.tenant, call.params["execution"])
    if execution is None:
        raise missing(call.params["execution"])
    return execution


def missing(execution_id: str) -> errors.ApiError:
    return errors.not_found(f"Unable to find execution {execution_id}")


async def get(call: Call) -> web.Response:
    return json(render.execution(await found(call), call.api.now()))


async def search(call: Call) -> web.Response:
    limit, offset = call.page()
    sort = call.sort(SORTS) or NEWEST_FIRST
    heads, total = await call.api.platform.queries.search(
        call.tenant, filters.executions(call), sort=sort, limit=limit, offset=offset
    )
    return page([shown(head, call.api.now()) for head in heads], total)


async def of_flow(call: Call) -> web.Response:
    """GET /executions?namespace&flowId (0.x): the executions of exactly this flow."""
    limit, offset = call.page()
    asked = ExecutionFilter(namespace=call.required("namespace"), exact=True, flow_id=call.required("flowId"))
    heads, total = await call.api.platform.queries.search(
        call.tenant, asked, sort=NEWEST_FIRST, limit=limit, offset=offset
    )
    return page([shown(head, call.api.now()) for head in heads], total)


def shown(head: ExecutionHead, now: int) -> dict[str, Any]:
    return render.head(head, now)


async def flow(call: Call) -> web.Response:
    """GET /executions/{id}/flow: the flow as it was when this execution ran, cut to what a viewer needs."""
    execution = await found(call)
    return await _flow_answer(call, execution.namespace, execution.flow_id, execution.flow_revision)


async def flow_by_name(call: Call) -> web.Response:
    """GET /executions/flows/{namespace}/{flow}"""
    return await _flow_answer(call, call.params["namespace"], call.params["flow"], call.optional_integer("revision"))


async def _flow_answer(call: Call, namespace: str, flow_id: str, revision: int | None) -> web.Response:
    row = await call.api.platform.flows.get(call.tenant, namespace, flow_id, revision, allow_deleted=True)
    if row is None:
        raise errors.not_found(f"Unable to find flow {namespace}.{flow_id}")
    return json(render_flow.for_execution(render_flow.flow(row, saving.data_of(row.source))))


class _FlowName(msgspec.Struct):
    namespace: str
    id: str


async def latest(call: Call) -> web.Response:
    """POST /executions/latest `[{namespace, id}]`: the newest execution of each flow."""
    try:
        names = msgspec.convert(await call.json() or [], list[_FlowName])
    except msgspec.ValidationError as error:
        raise errors.unprocessable(
            f'the body must be a list such as [{{"namespace": "a", "id": "b"}}]: {error}'
        ) from None
    out = []
    for name in names:
        asked = ExecutionFilter(namespace=name.namespace, exact=True, flow_id=name.id)
        heads, _ = await call.api.platform.queries.search(call.tenant, asked, sort=NEWEST_FIRST, limit=1)
        for head in heads:
            state = render.state(head.state, head.history, call.api.now())
            out.append(
                {
                    "id": head.id,
                    "flowId": head.flow_id,
                    "namespace": head.namespace,
                    "startDate": state["startDate"],
                    "status": state["current"],
                }
            )
    return json(out)


async def matching(call: Call, asked: ExecutionFilter) -> list[ExecutionHead]:
    """Return every execution that matches, page after page."""
    out: list[ExecutionHead] = []
    while True:
        heads, total = await call.api.platform.queries.search(
            call.tenant, asked, sort=(("id", False),), limit=ALL, offset=len(out)
        )
        out.extend(heads)
        if not heads or len(out) >= total:
            return out


async def distinct(call: Call) -> web.Response:
    """GET /executions/distinct-field-values?field=namespace|flowId"""
    field = call.required("field")
    names = {"namespace": "namespace", "flowId": "flow_id"}
    if field not in names:
        raise errors.bad_request(f"`field` must be one of {', '.join(names)}, is `{field}`")
    heads = await matching(call, filters.executions(call))
    return json(sorted({getattr(head, names[field]) for head in heads}))


async def namespaces(call: Call) -> web.Response:
    heads = await matching(call, ExecutionFilter())
    return json(sorted({head.namespace for head in heads}))


async def flows_of_namespace(call: Call) -> web.Response:
    heads = await matching(call, ExecutionFilter(namespace=call.params["namespace"], exact=True))
    return json(sorted({head.flow_id for head in heads}))
