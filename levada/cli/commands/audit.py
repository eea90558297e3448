"""`levada audit`: who changed what."""

from __future__ import annotations

from typing import Any

import click

from levada.cli import screen
from levada.cli.connection import Wanted, output_option, server_options, talk

KINDS = ("execution", "flow", "file", "instance", "kv", "log", "namespace", "trigger")
ACTIONS = ("create", "update", "delete", "execute")
OUTCOMES = ("done", "denied", "refused", "failed")


@click.command()
@click.option("--who", "-w", help="Only what this user did.")
@click.option("--kind", "-k", "kinds", multiple=True, type=click.Choice(KINDS), help="Only on such things. Repeatable.")
@click.option("--action", "-a", "actions", multiple=True, type=click.Choice(ACTIONS), help="Only this. Repeatable.")
@click.option(
    "--outcome", "outcomes", multiple=True, type=click.Choice(OUTCOMES), help="Only what ended so. Repeatable."
)
@click.option("--namespace", "-n", help="Only in this namespace and those below it.")
@click.option("--object", "object_id", help="Only on the thing with this id.")
@click.option("--since", metavar="DATE", help="Not before, such as 2026-07-24T09:00:00Z.")
@click.option("--until", metavar="DATE", help="Not after.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many, newest first.")
@click.option("--page", default=1, show_default=True, type=click.IntRange(1), help="Which page of that many.")
@output_option
@server_options
def audit(
    wanted: Wanted,
    who: str | None,
    kinds: tuple[str, ...],
    actions: tuple[str, ...],
    outcomes: tuple[str, ...],
    namespace: str | None,
    object_id: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    page: int,
    output: str,
) -> None:
    """Show who changed what, newest first."""
    query: dict[str, Any] = {"user": who, "object": object_id, "namespace": namespace, "size": limit, "page": page}
    query |= {"type": list(kinds), "action": list(actions), "outcome": list(outcomes)}
    query |= {"startDate": since, "endDate": until}
    found = talk(wanted, lambda client: client.get("auditlogs/search", **query))
    if output == "json":
        screen.document(found)
        return
    screen.table(
        ["when", "who", "did", "to", "namespace", "outcome", "from"],
        [
            [
                screen.date_time(one["date"]),
                one["userId"],
                f"{one['type']} {one['action']}".lower(),
                one.get("objectId") or "",
                one.get("namespace") or "",
                one["outcome"].lower() if one["status"] < 400 else f"{one['outcome'].lower()} ({one['status']})",
                one.get("ipAddress") or "",
            ]
            for one in found["results"]
        ],
    )
    screen.note(f"{len(found['results'])} of {found['total']} audit records")
