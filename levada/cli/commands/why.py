"""`levada why`: what keeps an execution, or why a flow does not start by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import click

from levada.cli import screen
from levada.cli.client import Client, Refused, segment
from levada.cli.connection import Wanted, output_option, server_options, talk
from levada.cli.failures import BadUsage

NOT_FOUND = 404


@click.command()
@click.argument("what", metavar="EXECUTION|NAMESPACE.FLOW")
@click.option("--trigger", help="Of a flow: only this trigger.")
@output_option
@server_options
def why(wanted: Wanted, what: str, trigger: str | None, output: str) -> None:
    """Say why an execution does not move, or why the triggers of a flow do not start it.

    Executions have no dot in their id, so a name with a dot is a flow's.
    """
    if "." not in what:
        if trigger is not None:
            raise BadUsage(f"--trigger goes with a flow, as NAMESPACE.FLOW; {what} is the id of an execution")
        _execution(wanted, what, output)
        return
    found = talk(wanted, lambda client: _flow(client, what, trigger))
    if output == "json":
        screen.document(found)
        return
    screen.say(f"flow {found['namespace']}.{found['flowId']}")
    _causes(found["causes"], "  ")
    for each in found["triggers"]:
        screen.say(f"  trigger {each['triggerId']} ({each['type']})")
        _causes(each["causes"], "    ")


def _execution(wanted: Wanted, execution: str, output: str) -> None:
    found = talk(wanted, lambda client: client.get(f"executions/{segment(execution)}/why"))
    if output == "json":
        screen.document(found)
        return
    screen.say(f"execution {found['executionId']} is {found['state'] or 'not there yet'}")
    _causes(found["causes"], "  ")


async def _flow(client: Client, name: str, trigger: str | None) -> Any:
    """Ask for the flow. Ids of flows may have dots as well, so the last dot is only the likeliest place to cut."""
    parts = name.split(".")
    refusals = []
    for cut in range(len(parts) - 1, 0, -1):
        namespace, flow_id = ".".join(parts[:cut]), ".".join(parts[cut:])
        try:
            return await client.get(f"flows/{segment(namespace)}/{segment(flow_id)}/why", triggerId=trigger)
        except Refused as refused:
            if refused.status != NOT_FOUND:
                raise
            refusals.append(refused)
    # Only one of them can be about a trigger: the flow is there.
    raise next((one for one in refusals if "trigger" in str(one)), refusals[0])


def _causes(causes: Iterable[Mapping[str, Any]], indent: str) -> None:
    for cause in causes:
        screen.say(f"{indent}{cause['code']}: {cause['message']}")
        if cause.get("remedy"):
            screen.say(f"{indent}  what helps: {cause['remedy']}")
