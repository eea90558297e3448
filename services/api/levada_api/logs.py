"""Log lines: of one execution, searched, downloaded, followed, deleted."""

from collections.abc import AsyncGenerator

from aiohttp import web

from levada.store.port import LogFilter
from levada_api import filters
from levada_api.call import Call, empty, json
from levada_api.commands import head
from levada_api.executions.read import found, missing
from levada_api.render import entries as render
from levada_api.sse import KEEP_ALIVE_S, Frame, stream

SORTS = {"timestamp": "at"}
READ_AT_ONCE = 10_000
FOLLOW_AT_ONCE = 1000
#: Lines of a task may be stored a moment after the state change that ended the execution.
SETTLE_S = 0.3
FOLLOW_LOOK_S = 0.25


async def of_execution(call: Call) -> web.Response:
    asked = filters.logs(call, execution_id=call.params["execution"])
    await settled(call)
    lines = await call.api.platform.logs.read(call.tenant, asked, limit=READ_AT_ONCE)
    return json([render.log(line) for line in lines])


async def settled(call: Call) -> None:
    """Where lines travel on the bus: wait a moment for the last ones of an execution that has just ended."""
    settling = call.api.platform.settling
    if settling is None:
        return
    found = await head(call.api, call.tenant, call.params["execution"])
    if found is not None:
        await settling.ended(found)


async def search(call: Call) -> web.Response:
    limit, offset = call.page()
    sort = call.sort(SORTS)
    asked = filters.logs(call)
    store = call.api.platform.logs
    lines = await store.read(call.tenant, asked, limit=limit, offset=offset, descending=sort[0][1] if sort else True)
    total = await store.count(call.tenant, asked)
    return json({"type": "OFFSET", "results": [render.log(line) for line in lines], "total": total})


async def download(call: Call) -> web.StreamResponse:
    """All lines as text, streamed page after page: a log may be larger than memory."""
    asked = filters.logs(call, execution_id=call.params["execution"])
    name = f"{call.params['execution']}.log"
    await settled(call)
    response = web.StreamResponse(
        headers={
            "Content-Type": "text/plain; charset=utf-8",
            "Content-Disposition": f'attachment; filename="{name}"',
            "X-Content-Type-Options": "nosniff",
        }
    )
    first = await call.api.platform.logs.read(call.tenant, asked, limit=READ_AT_ONCE)
    await response.prepare(call.request)
    offset, lines = 0, first
    while lines:
        await response.write("".join(render.log_line(line) for line in lines).encode("utf-8", "replace"))
        offset += len(lines)
        if len(lines) < READ_AT_ONCE:
            break
        lines = await call.api.platform.logs.read(call.tenant, asked, limit=READ_AT_ONCE, offset=offset)
    await response.write_eof()
    return response


async def follow(call: Call) -> web.StreamResponse:
    execution_id = call.params["execution"]
    asked = filters.logs(call, execution_id=execution_id)
    if await head(call.api, call.tenant, execution_id) is None:
        raise missing(execution_id)
    return await stream(call, _lines(call, execution_id, asked))


async def _lines(call: Call, execution_id: str, asked: LogFilter) -> AsyncGenerator[Frame | None, None]:
    """Stored lines first, then new ones, until the execution has ended and its last lines are through."""
    api, sent, quiet_since = call.api, 0, call.api.clock.monotonic()
    while True:
        current = await head(api, call.tenant, execution_id)
        ended = current is None or current.is_terminal
        if current is not None and api.platform.settling is not None:
            await api.platform.settling.ended(current)
        elif ended:
            await api.clock.sleep(SETTLE_S)
        while lines := await api.platform.logs.read(call.tenant, asked, limit=FOLLOW_AT_ONCE, offset=sent):
            sent += len(lines)
            quiet_since = api.clock.monotonic()
            for line in lines:
                yield Frame("progress", render.log(line))
        if ended:
            yield Frame("end", {})
            return
        if api.clock.monotonic() - quiet_since > KEEP_ALIVE_S:
            quiet_since = api.clock.monotonic()
            yield None
        await api.platform.hub.wait(execution_id, FOLLOW_LOOK_S)


async def delete_of_execution(call: Call) -> web.Response:
    await found(call)
    asked = filters.logs(call, execution_id=call.params["execution"])
    await call.api.platform.logs.delete(call.tenant, asked)
    return empty()


async def delete_of_flow(call: Call) -> web.Response:
    asked = filters.logs(call, namespace=call.params["namespace"], flow_id=call.params["flow"])
    await call.api.platform.logs.delete(call.tenant, asked)
    return empty()
