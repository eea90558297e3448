"""One flow: create, read, update, delete, its revisions and its tasks."""

from typing import Any

from aiohttp import web

from levada.store.port import FlowRow
from levada_api import errors
from levada_api.call import Call, empty, json
from levada_api.flows import saving
from levada_api.render import flow as render


async def create(call: Call) -> web.Response:
    source = await saving.source_of(call)
    return json(shown(await saving.save(call, source, saving.checked(call, source), "create"), source=True))


async def update(call: Call) -> web.Response:
    namespace, flow_id = call.params["namespace"], call.params["id"]
    if await call.api.platform.flows.get(call.tenant, namespace, flow_id) is None:
        raise errors.not_found()
    source = await saving.source_of(call, id=flow_id, namespace=namespace)
    parsed = saving.checked(call, source)
    wrong = []
    if parsed.flow.id != flow_id:
        wrong.append(errors.FieldError("Illegal flow id update", "flow.id"))
    if parsed.flow.namespace != namespace:
        wrong.append(errors.FieldError("Illegal namespace update", "flow.namespace"))
    if wrong:
        raise errors.invalid_entity(wrong)
    return json(shown(await saving.save(call, source, parsed, "update"), source=True))


async def get(call: Call) -> web.Response:
    row = await found(call, revision=call.optional_integer("revision"), deleted=call.flag("allowDeleted"))
    return json(shown(row, source=call.flag("source")))


async def found(call: Call, *, revision: int | None = None, deleted: bool = False) -> FlowRow:
    """Return the flow of the path. Raises 404."""
    row = await call.api.platform.flows.get(
        call.tenant, call.params["namespace"], call.params["id"], revision, allow_deleted=deleted
    )
    if row is None:
        raise errors.not_found()
    return row


async def delete(call: Call) -> web.Response:
    namespace, flow_id = call.params["namespace"], call.params["id"]
    if await call.api.platform.flows.delete(call.tenant, namespace, flow_id, call.api.now()) is None:
        raise errors.not_found()
    call.api.flows.forget(call.tenant, namespace, flow_id)
    return empty()


async def revisions(call: Call) -> web.Response:
    rows = await call.api.platform.flows.revisions(call.tenant, call.params["namespace"], call.params["id"])
    if not rows:
        raise errors.not_found()
    return json([shown(row, source=True) for row in rows])


async def delete_revisions(call: Call) -> web.Response:
    text = call.required("revisions")
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise errors.unprocessable(f"`revisions` must be numbers such as 1,2, is `{text}`") from None
    live = await call.api.platform.flows.get(call.tenant, call.params["namespace"], call.params["id"])
    if live is not None and live.revision in numbers:
        raise errors.illegal_argument(f"revision {live.revision} is the current one and cannot be deleted")
    await call.api.platform.flows.delete_revisions(call.tenant, call.params["namespace"], call.params["id"], numbers)
    call.api.flows.forget(call.tenant, call.params["namespace"], call.params["id"])
    return empty()


async def task(call: Call) -> web.Response:
    """GET /flows/{ns}/{id}/tasks/{task}: one task as written."""
    row = await found(call, revision=call.optional_integer("revision"))
    task = find_task(saving.data_of(row.source), call.params["task"])
    if task is None:
        raise errors.not_found(f"Unable to find task {call.params['task']} in flow {row.namespace}.{row.id}")
    return json(task)


def find_task(data: Any, task_id: str) -> dict[str, Any] | None:
    """Return the map with this id and a type, wherever in the data it is."""
    pending = [data]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if node.get("id") == task_id and "type" in node:
                return node
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
    return None


async def graph(call: Call) -> web.Response:
    """GET /flows/{ns}/{id}/graph"""
    namespace, flow_id = call.params["namespace"], call.params["id"]
    row = await call.api.platform.flows.get(call.tenant, namespace, flow_id, call.optional_integer("revision"))
    if row is None:
        raise errors.not_found(f"Unable to find flow {namespace}_{flow_id}")
    raise errors.ApiError(501, "the graph of a flow is not available in this version")


def shown(row: FlowRow, *, source: bool = False) -> dict[str, Any]:
    return render.flow(row, saving.data_of(row.source), source=source)
