"""GET /flows/{namespace}/{id}/why: why a flow does not start by itself. Levada's own route.

`?triggerId=` asks for one trigger only. The words are made in levada/runtime/why_schedule.py.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from levada.flowfile import BrokenFlow
from levada.runtime import why_schedule
from levada.runtime.why_schedule import Facts
from levada_api import errors
from levada_api.call import Call, json
from levada_api.flows import crud


async def why(call: Call) -> web.Response:
    facts = await _facts(call)
    wanted = call.arg("triggerId")
    triggers = why_schedule.of_triggers(facts, wanted)
    if wanted is not None and facts.flow is not None and not triggers:
        raise errors.not_found(f"Unable to find trigger {wanted}")
    return json(
        {
            "namespace": call.params["namespace"],
            "flowId": call.params["id"],
            "revision": facts.flow.revision if facts.flow is not None else None,
            "causes": [msgspec.to_builtins(cause) for cause in why_schedule.of_flow(facts)],
            "triggers": [msgspec.to_builtins(trigger) for trigger in triggers],
        }
    )


async def _facts(call: Call) -> Facts:
    """Read what is known. All schedules are read only when one of these is overdue."""
    platform = call.api.platform
    row = await crud.found(call)
    namespace, flow_id = row.namespace, row.id
    entry = await call.api.flows.entry(call.tenant, namespace, flow_id)
    broken = isinstance(entry, BrokenFlow)
    flow = None if isinstance(entry, BrokenFlow) else entry
    now = await platform.triggers.now()
    states = await platform.triggers.states(call.tenant, namespace, flow_id)
    overdue = 0
    if any(why_schedule.late(state, now) for state in states):
        every = await platform.triggers.states(call.tenant)
        overdue = sum(why_schedule.late(state, now) for state in every)
    return Facts(
        now=now,
        flow=flow,
        error=str(entry) if broken else None if flow is not None else "it was deleted a moment ago",
        disabled=row.disabled or (flow is not None and flow.disabled),
        states=states,
        schedulers=await platform.members.all("scheduler"),
        overdue=overdue,
    )
