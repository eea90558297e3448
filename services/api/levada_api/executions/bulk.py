"""The same actions on many executions, named by ids or by a query.

All or nothing at the door: if one id is unknown, or the engine refuses the action for one execution, the answer is 400
with a list of those, and nothing was done. After that every command is durable in one append.
"""

from typing import Any

import msgspec
from aiohttp import web

from levada.model import commands
from levada.model.errors import UserError
from levada.model.execution import Execution
from levada.model.states import TERMINAL, State
from levada_api import errors, filters, labels
from levada_api.call import Call, json
from levada_api.commands import applied, send
from levada_api.executions import actions, removal
from levada_api.executions.actions import MAKERS, Ask
from levada_api.executions.read import matching
from levada_api.render.execution import bulk

LOADED_AT_ONCE = 200


def by_ids(name: str) -> Any:
    """Return the handler of `/executions/{name}/by-ids`."""

    async def handler(call: Call) -> web.Response:
        data = await call.json()
        ask = _ask(call, name)
        if name == "labels":
            ids, ask.labels = _labels_body(data)
            labels.check_size(call.api, ask.labels)
        else:
            ids = _ids(data)
        return await _perform(call, name, ids, ask)

    handler.__name__ = f"{name}_by_ids"
    return handler


def by_query(name: str) -> Any:
    """Return the handler of `/executions/{name}/by-query`."""

    async def handler(call: Call) -> web.Response:
        ask = _ask(call, name)
        if name == "labels":
            ask.labels = labels.of_body(await call.json())
            labels.check_size(call.api, ask.labels)
        heads = await matching(call, filters.executions(call))
        return await _perform(call, name, [head.id for head in heads], ask)

    handler.__name__ = f"{name}_by_query"
    return handler


def _ask(call: Call, name: str) -> Ask:
    ask = Ask(user=call.user, new_id=call.api.new_id, cascade=call.flag("isOnKillCascade", True))
    if name == "change-status":
        ask.state = filters.state(call.required("newStatus"), "newStatus")
    elif name == "unqueue" and call.arg("state"):
        ask.state = filters.state(call.required("state"), "state")
    return ask


def _ids(data: Any) -> list[str]:
    if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
        raise errors.unprocessable('the body must be a list of execution ids such as ["5SgAoEF5EzNyzhm6Z1hHhH"]')
    return list(dict.fromkeys(data))


def _labels_body(data: Any) -> tuple[list[str], list[tuple[str, str]]]:
    if not isinstance(data, dict):
        raise errors.unprocessable('the body must look like {"executionsId": ["…"], "executionLabels": [{…}]}')
    return _ids(data.get("executionsId")), labels.of_body(data.get("executionLabels"))


async def _perform(call: Call, name: str, ids: list[str], ask: Ask) -> web.Response:
    """Preview every one, then send all commands together."""
    batch: list[commands.Command] = []
    last: tuple[int, commands.Command] | None = None
    invalids: list[dict[str, Any]] = []
    newest = call.flag("latestRevision") and name in ("restart", "replay")
    for at in range(0, len(ids), LOADED_AT_ONCE):
        chunk = ids[at : at + LOADED_AT_ONCE]
        loaded = await call.api.platform.executions.load(chunk)
        for execution_id in chunk:
            x = loaded.get(execution_id)
            if x is None or x.deleted or x.tenant != call.tenant:
                invalids.append(invalid("execution not found", execution_id))
                continue
            seen = x.seq
            try:
                command = await _prepared(call, x, name, ask, newest)
            except UserError as error:
                invalids.append(invalid(str(error), execution_id))
                continue
            last = (seen, command)
            batch.append(command)
    if invalids:
        raise refusal(name, invalids)
    if last is not None:
        await send(call.api, batch)
        await _settled(call, ids[-1], *last)
    return json(bulk(len(batch), call.api.new_id()))


async def _prepared(call: Call, x: Execution, name: str, ask: Ask, newest: bool) -> commands.Command:
    revision = None
    if newest:
        flow = await call.api.flows.get(x.tenant, x.namespace, x.flow_id)
        revision = flow.revision if flow is not None else None
    command = MAKERS[name](x, msgspec.structs.replace(ask, revision=revision))
    flow = await actions.flow_for(call, x, revision)
    actions.preview(x, flow, command, call.api.now())
    return command


async def _settled(call: Call, last: str, before: int, command: commands.Command) -> None:
    """Wait for the last of the commands; the ones before it went the same way."""
    seen = before if command.execution_id == last else -1
    await applied(call.api, call.tenant, command.execution_id, lambda head: head is not None and head.seq > seen)


def invalid(message: str, execution_id: str) -> dict[str, Any]:
    return {"message": message, "path": "execution", "invalidValue": execution_id}


def refusal(name: str, invalids: list[dict[str, Any]]) -> errors.ApiError:
    """400 with everything that stands in the way, in the shape bulk clients read."""
    return errors.ApiError(
        400,
        "; ".join(f"{each['invalidValue']}: {each['message']}" for each in invalids),
        extra={"message": f"invalid bulk {name}", "invalids": invalids},
    )


async def delete_by_ids(call: Call) -> web.Response:
    ids = _ids(await call.json())
    loaded = await call.api.platform.executions.load(ids)
    invalids = [
        invalid("execution not found", each)
        for each in ids
        if each not in loaded or loaded[each].deleted or loaded[each].tenant != call.tenant
    ]
    if invalids:
        raise refusal("delete", invalids)
    return await _delete(call, list(loaded.values()))


async def delete_by_query(call: Call) -> web.Response:
    asked = filters.executions(call)
    if not call.flag("includeNonTerminated"):
        states: tuple[State, ...] = tuple(state for state in asked.states or TERMINAL if state.is_terminal)
        if not states:
            # No state at all would mean every state: whoever asks for running ones only gets none of them deleted.
            return json(bulk(0, call.api.new_id()))
        asked = msgspec.structs.replace(asked, states=states)
    heads = await matching(call, asked)
    loaded = await call.api.platform.executions.load([head.id for head in heads])
    return await _delete(call, list(loaded.values()))


async def _delete(call: Call, executions: list[Execution]) -> web.Response:
    if executions:
        await send(call.api, [commands.DeleteExecution(execution_id=x.id) for x in executions])
        for x in executions:
            await applied(call.api, x.tenant, x.id, lambda head: head is None or head.deleted)
        await removal.remove(call.api, executions, removal.parts_of(call))
    return json(bulk(len(executions), call.api.new_id()))
