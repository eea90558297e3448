"""An execution as whoever started it gets to see it: as the executor will create it, without asking the store.

Written out by hand, because every start pays for it.
"""

from __future__ import annotations

from typing import Any

from levada.engine.context import iso
from levada.model import durations
from levada.model.commands import StartExecution
from levada.model.execution import ExecutionHead, Origin
from levada.model.flow import Flow
from levada.sdk.registry import PREFIX

CORRELATION_ID = "system.correlationId"


def document(flow: Flow, command: StartExecution, now: int, address: str) -> dict[str, Any]:
    """Return the answer to a start. `address` is where people reach the UI, without a trailing slash."""
    moment = iso(now)
    execution_id = command.execution_id
    own = [*flow.labels, *command.labels]
    if flow.labels and command.labels:
        own = list(dict(own).items())
    own.append((CORRELATION_ID, command.correlation_id or execution_id))
    out: dict[str, Any] = {
        "tenantId": command.tenant,
        "id": execution_id,
        "namespace": flow.namespace,
        "flowId": flow.id,
        "flowRevision": flow.revision,
        "state": {
            "current": "CREATED",
            "histories": [{"state": "CREATED", "date": moment}],
            "startDate": moment,
            "duration": "PT0S",
        },
        "labels": [{"key": key, "value": value} for key, value in own],
        "originalId": execution_id,
        "deleted": False,
        "metadata": {"attemptNumber": 1, "originalCreatedDate": moment},
        "url": f"{address}/ui/executions/{flow.namespace}/{flow.id}/{execution_id}",
    }
    if command.inputs:
        out["inputs"] = command.inputs
    if flow.variables:
        out["variables"] = flow.variables
    if command.trigger is not None:
        out["trigger"] = origin(command.trigger)
    if command.scheduled is not None:
        out["scheduleDate"] = iso(command.scheduled)
    if command.kind is not None:
        out["kind"] = command.kind
    return out


def ended(made: dict[str, Any], found: ExecutionHead) -> dict[str, Any]:
    """Return what `document` gave, with the state and outputs that the execution ended with."""
    start, end = found.history[0][1], found.history[-1][1]
    state = {
        "current": found.state.value,
        "histories": [{"state": state.value, "date": iso(at)} for state, at in found.history],
        "startDate": iso(start),
        "endDate": iso(end),
        "duration": durations.format(max(end - start, 0)),
    }
    out = {**made, "state": state, "labels": [{"key": key, "value": value} for key, value in found.labels]}
    if found.outputs is not None:
        out["outputs"] = found.outputs
    return out


def origin(trigger: Origin) -> dict[str, Any]:
    return {"id": trigger.id, "type": full_type(trigger.type), "variables": trigger.variables}


def full_type(name: str) -> str:
    """Return the full name of a canonical type; names outside Kestra's plugin packages are full already."""
    if name.startswith(("io.", "com.", "org.", "dev.", "levada.")):
        return name
    return PREFIX + name
