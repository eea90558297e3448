"""`levada reconcile`: send again from Postgres what the bus should hold."""

from __future__ import annotations

import click

from levada.cli import screen
from levada.cli.connection import Wanted, output_option, server_options, talk


@click.command()
@output_option
@server_options
def reconcile(wanted: Wanted, output: str) -> None:
    """Send again what was accepted and is not applied yet, as after the loss of the Kafka log."""
    found = talk(wanted, lambda client: client.post("reconcile"))
    if output == "json":
        screen.document(found)
    elif found["durableBus"]:
        screen.say("the bus is in the database: it can not lose anything, and nothing was sent again")
    else:
        screen.say(f"{found['commands']} accepted commands were sent again; what comes twice is applied once")
        if found["more"]:
            screen.note("there are more: run it again once these are applied")
