"""`levada why`: what keeps an execution."""

from __future__ import annotations

import click

from levada.cli import screen
from levada.cli.client import segment
from levada.cli.connection import Wanted, output_option, server_options, talk


@click.command()
@click.argument("execution")
@output_option
@server_options
def why(wanted: Wanted, execution: str, output: str) -> None:
    """Say why an execution does not move, or what it is doing."""
    found = talk(wanted, lambda client: client.get(f"executions/{segment(execution)}/why"))
    if output == "json":
        screen.document(found)
        return
    screen.say(f"execution {found['executionId']} is {found['state'] or 'not there yet'}")
    for cause in found["causes"]:
        screen.say(f"  {cause['code']}: {cause['message']}")
        if cause.get("remedy"):
            screen.say(f"    what helps: {cause['remedy']}")
