"""`levada flows`: the flows of a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from levada.cli import screen, sources
from levada.cli.client import Client, Refused, segment
from levada.cli.connection import Wanted, output_option, server_options, talk
from levada.cli.failures import CheckFailed, Silent
from levada.cli.sources import Checked

PAGE = 200

paths_argument = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))


@click.group()
def flows() -> None:
    """List, read, deploy and delete flows."""


@flows.command("list")
@click.option("--namespace", "-n", help="Only this namespace and those below it.")
@click.option("--query", "-q", help="Only flows whose id or namespace contains this.")
@output_option
@server_options
def list_(wanted: Wanted, namespace: str | None, query: str | None, output: str) -> None:
    """List the flows."""
    found = talk(wanted, lambda client: search(client, namespace, query))
    if output == "json":
        screen.document(found)
        return
    screen.table(
        ["namespace", "id", "revision", "disabled", "description"],
        [
            [
                flow["namespace"],
                flow["id"],
                flow.get("revision"),
                "yes" if flow.get("disabled") else "",
                (flow.get("description") or "").split("\n")[0],
            ]
            for flow in found
        ],
    )


@flows.command()
@click.argument("namespace")
@click.argument("flow_id")
@click.option("--revision", type=int, help="An older revision.")
@output_option
@server_options
def get(wanted: Wanted, namespace: str, flow_id: str, revision: int | None, output: str) -> None:
    """Print the source of a flow, byte for byte."""
    path = f"flows/{segment(namespace)}/{segment(flow_id)}"
    flow = talk(wanted, lambda client: client.get(path, source=True, revision=revision))
    if output == "json":
        screen.document(flow)
    else:
        click.echo(flow["source"], nl=False)


@flows.command()
@paths_argument
@output_option
@server_options
def deploy(wanted: Wanted, paths: tuple[Path, ...], output: str) -> None:
    """Create or update the flows of files and folders. Nothing is deployed when one of them is wrong."""
    checked = sources.check_all(sources.read(paths))
    problems = [problem for one in checked for problem in one.problems]
    if problems:
        for problem in problems:
            screen.note(problem.line_text)
        raise CheckFailed(f"{len(problems)} problem{'s' if len(problems) > 1 else ''}, nothing deployed")

    async def send(client: Client) -> list[dict[str, Any]]:
        return [await deploy_one(client, one) for one in checked]

    results = talk(wanted, send)
    if output == "json":
        screen.document(results)
    else:
        for result in results:
            screen.say(f"{result['namespace']}.{result['id']}  revision {result['revision']}  ({result['file']})")


@flows.command()
@click.argument("namespace")
@click.argument("flow_id")
@server_options
def delete(wanted: Wanted, namespace: str, flow_id: str) -> None:
    """Delete a flow; its revisions and executions stay readable."""
    talk(wanted, lambda client: client.delete(f"flows/{segment(namespace)}/{segment(flow_id)}"))
    screen.say(f"deleted {namespace}.{flow_id}")


async def deploy_one(client: Client, checked: Checked) -> dict[str, Any]:
    """Deploy a flow that has been found right. Raises Silent after printing what the server refused all the same."""
    assert checked.flow is not None
    try:
        flow = await client.deploy(checked.flow.namespace, checked.flow.id, checked.document.source)
    except Refused as refused:
        for line in refused.problems or [str(refused)]:
            screen.note(f"{checked.document.place}: {line}")
        raise Silent from refused
    return {**{key: flow[key] for key in ("namespace", "id", "revision")}, "file": str(checked.document.path)}


async def search(client: Client, namespace: str | None, query: str | None) -> list[dict[str, Any]]:
    """Return all flows that match, page by page."""
    found: list[dict[str, Any]] = []
    page = 1
    while True:
        answer = await client.get("flows/search", namespace=namespace, q=query, size=PAGE, page=page, sort="id:asc")
        found += answer["results"]
        if len(answer["results"]) < PAGE or len(found) >= answer["total"]:
            return sorted(found, key=lambda flow: (flow["namespace"], flow["id"]))
        page += 1
