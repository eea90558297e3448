"""GET /executions/{id}/follow: the execution as an event stream until it ends.

The first frame is the state now (`start`), then one frame per seen change (`progress`), the last one is the end state
(`end`) and closes the stream. Announcements of the hub only say when to look; what is sent was read from the store, so
a lost announcement costs LOOK_S and never a state. Large executions are sent at most every PAUSE_S: changes in between
are in the next frame.
"""

from collections.abc import AsyncGenerator, AsyncIterator

from aiohttp import web

from levada_api.call import Call
from levada_api.commands import head, load
from levada_api.executions.read import missing
from levada_api.render import execution as render
from levada_api.sse import KEEP_ALIVE_S, Frame, stream

LOOK_S = 1.0
PAUSE_S = 0.1
#: How long to wait for an execution that is not there yet: its start may be on the bus.
APPEAR_S = 10.0


async def follow(call: Call) -> web.StreamResponse:
    execution_id = call.params["execution"]
    if not await _appears(call, execution_id):
        raise missing(execution_id)
    return await stream(call, _frames(call, execution_id))


async def follow_dependencies(call: Call) -> web.StreamResponse:
    """The same for what belongs together: states only."""
    execution_id = call.params["execution"]
    if not await _appears(call, execution_id):
        raise missing(execution_id)
    return await stream(call, _states(call, execution_id))


async def _appears(call: Call, execution_id: str) -> bool:
    deadline = call.api.clock.monotonic() + APPEAR_S
    while await head(call.api, call.tenant, execution_id) is None:
        if call.api.clock.monotonic() >= deadline:
            return False
        await call.api.platform.hub.wait(execution_id, LOOK_S / 4)
    return True


async def _frames(call: Call, execution_id: str) -> AsyncGenerator[Frame | None, None]:
    name = "start"
    async for changed in changes(call, execution_id):
        if not changed:
            yield None
            continue
        found = await load(call.api, call.tenant, execution_id)
        if found is None:
            return
        if found.is_terminal:
            name = "end"
        yield Frame(name, render.execution(found, call.api.now()))
        if found.is_terminal:
            return
        name = "progress"


async def _states(call: Call, execution_id: str) -> AsyncGenerator[Frame | None, None]:
    async for changed in changes(call, execution_id):
        if not changed:
            yield None
            continue
        found = await head(call.api, call.tenant, execution_id)
        if found is None:
            return
        data = {
            "executionId": found.id,
            "tenantId": found.tenant,
            "namespace": found.namespace,
            "flowId": found.flow_id,
            "state": render.state(found.state, found.history, call.api.now()),
        }
        yield Frame("end" if found.is_terminal else "progress", data)
        if found.is_terminal:
            return


async def changes(call: Call, execution_id: str) -> AsyncIterator[bool]:
    """Yield True now and each time the execution has moved, False now and then meanwhile; end when it is gone."""
    api, seen, told = call.api, -1, call.api.clock.monotonic()
    while True:
        found = await head(api, call.tenant, execution_id)
        if found is None:
            return
        if found.seq != seen:
            seen, told = found.seq, api.clock.monotonic()
            yield True
            await api.clock.sleep(PAUSE_S)
            continue
        if api.clock.monotonic() - told >= KEEP_ALIVE_S:
            told = api.clock.monotonic()
            yield False
        await api.platform.hub.wait(execution_id, LOOK_S)
