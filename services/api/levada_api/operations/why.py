"""GET /executions/{id}/why: what keeps an execution. Levada's own route; the words are made in levada/runtime/why.py."""

import msgspec
from aiohttp import web

from levada.bus.port import COMMANDS
from levada.model.errors import LevadaError
from levada.model.execution import Execution
from levada.model.ids import partition_of
from levada.runtime import workers
from levada.runtime.why import Facts, causes
from levada_api import errors
from levada_api.call import Call, json
from levada_api.commands import load


async def why(call: Call) -> web.Response:
    facts = await _facts(call)
    if facts.execution is None and not facts.accepted and not facts.letters:
        raise errors.not_found(f"Unable to find execution {facts.execution_id}")
    execution = facts.execution
    return json(
        {
            "executionId": facts.execution_id,
            "state": execution.state if execution is not None else None,
            "partition": facts.partition,
            "executor": facts.owner,
            "causes": [msgspec.to_builtins(cause) for cause in causes(facts)],
        }
    )


async def _facts(call: Call) -> Facts:
    """Read what is known; a handful of small queries."""
    platform = call.api.platform
    id = call.params["execution"]
    execution = await load(call.api, call.tenant, id)
    partition = partition_of(id, platform.bus.partitions)
    _, owners = await platform.members.survey("executor", COMMANDS)
    leases = await platform.diagnosis.leases(id)
    letters, _ = await platform.dead_letters.page(key=id)
    first = {lease.queue: lease for lease in reversed(leases) if lease.lease == "submitted"}
    return Facts(
        execution_id=id,
        now=call.api.now(),
        execution=execution,
        partition=partition,
        owner=owners.get(partition),
        lag=await _lag(call, partition),
        flow_error=await _flow_error(call, execution) if execution is not None else None,
        leases=leases,
        timers=await platform.diagnosis.timers(id),
        slots=await platform.diagnosis.slots(execution.flow_key) if execution is not None else (),
        accepted=await platform.diagnosis.accepted(id),
        letters=letters,
        workers=await workers.known(platform),
        ahead={queue: await platform.diagnosis.ahead(queue, lease.submitted or 0) for queue, lease in first.items()},
    )


async def _lag(call: Call, partition: int) -> int:
    platform = call.api.platform
    end = (await platform.bus.ends(COMMANDS)).get(partition, 0)
    return max(end - await platform.executions.done_off(partition), 0)


async def _flow_error(call: Call, execution: Execution) -> str | None:
    try:
        flow = await call.api.flows.find(
            execution.tenant, execution.namespace, execution.flow_id, execution.flow_revision
        )
    except LevadaError as error:
        return str(error)
    return None if flow is not None else f"revision {execution.flow_revision} is gone or can not be parsed"
