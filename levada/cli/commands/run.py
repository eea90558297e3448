"""`levada run`: one flow from a file to its result.

It talks to the server that runs here. Where none does, it starts one of its own on the data folder for as long as the
flow takes, so that trying a flow needs no set-up; what it ran stays in the history of that folder.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click

from levada.cli import follow, screen, sources
from levada.cli.client import Client, Refused, Server, segment
from levada.cli.commands.executions import level_option
from levada.cli.commands.flows import deploy_one
from levada.cli.connection import Wanted, find, output_option, run_async, server_options
from levada.cli.failures import BadUsage, CheckFailed, Silent, Unreachable
from levada.cli.inputs import input_option, label_option, parse_inputs, parse_labels
from levada.cli.settings import load
from levada.model.flow import Flow


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@input_option
@label_option
@click.option("--flow", "flow_id", help="Which flow to run, when the file holds several; all are deployed.")
@click.option("--no-wait", is_flag=True, help="Only start it; needs a running server.")
@level_option
@output_option
@server_options
def run(
    wanted: Wanted,
    file: Path,
    inputs: tuple[str, ...],
    labels: tuple[str, ...],
    flow_id: str | None,
    no_wait: bool,
    level: str,
    output: str,
) -> None:
    """Deploy the flow of FILE, run it, and show its logs until it ends. Ctrl-C kills the execution.

    The exit code is 0 when it ends well (SUCCESS, WARNING) and 1 when it does not.
    """
    checked = checked_file(file)
    chosen = choose(checked, flow_id)
    given, tags = parse_inputs(inputs), parse_labels(labels)
    check_names(chosen, given)
    # With JSON as the result, the log goes the other way.
    show = screen.note if output == "json" else screen.say

    async def main() -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(Client(await _server(wanted, stack, alone=not no_wait)))
            for one in checked:
                await deploy_one(client, one)
            execution = await _start(client, chosen, given, tags)
            if no_wait:
                return execution
            show(f"{chosen.namespace}.{chosen.id}  {execution['id']}")
            return await _until_end(client, execution["id"], show, level.upper())

    ended = run_async(main())
    if output == "json":
        screen.document(ended)
    elif no_wait:
        screen.say(ended["id"])
    else:
        follow.show_end(ended)
    if not no_wait and follow.current(ended) not in follow.GOOD:
        raise Silent


def checked_file(file: Path) -> list[sources.Checked]:
    """Return the flows of a file. Raises Silent after printing what is wrong with them."""
    checked = sources.check_all(sources.read([file]))
    problems = [problem for one in checked for problem in one.problems]
    for problem in problems:
        screen.note(problem.line_text)
    if problems:
        raise Silent
    return checked


def choose(checked: list[sources.Checked], flow_id: str | None) -> Flow:
    """Return the flow to run: the one that is named, else the last of the file (those above are its subflows)."""
    flows = [one.flow for one in checked if one.flow is not None]
    if flow_id is None:
        return flows[-1]
    for flow in flows:
        if flow.id == flow_id:
            return flow
    raise BadUsage(f"--flow {flow_id}: the file holds {', '.join(flow.id for flow in flows)}")


def check_names(flow: Flow, given: Iterable[str]) -> None:
    """Raise BadUsage for an input that the flow does not have; the server would ignore it."""
    known = [one.id for one in flow.inputs]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known) or 'none'}"
            raise BadUsage(f"--input {name}: {flow.namespace}.{flow.id} has no such input; {hint}")


async def _server(wanted: Wanted, stack: AsyncExitStack, *, alone: bool) -> Server:
    """Return the server of this folder, or one of our own that lives as long as `stack`."""
    try:
        return await find(wanted)
    except Unreachable:
        if wanted.url is not None or not alone:
            raise
    from levada.cli.standalone import embedded

    options = {"host": "127.0.0.1", "port": 0, "management_port": 0, "auth.mode": "none", "log.level": "warning"}
    loaded = load({**options, "data_dir": wanted.data_dir})
    screen.note(f"no server runs here: starting one on {loaded.config.data_dir} for this run")
    running = await stack.enter_async_context(embedded(loaded))
    return running.server


async def _start(client: Client, flow: Flow, inputs: dict[str, str | Path], labels: list[str]) -> dict[str, Any]:
    try:
        return await client.start(flow.namespace, flow.id, inputs, labels)
    except Refused as refused:
        raise CheckFailed("\n       ".join(refused.problems or [str(refused)])) from refused


async def _until_end(client: Client, execution_id: str, show: Callable[[str], None], level: str) -> dict[str, Any]:
    watch = follow.Watch(client, execution_id, show, level=level)
    try:
        return await watch.until_end()
    except asyncio.CancelledError:
        screen.note(f"interrupted: killing {execution_id}")
        await client.delete(f"executions/{segment(execution_id)}/kill")
        # What was started is taken down before we go, unless it takes long; a second Ctrl-C does not wait.
        try:
            async with asyncio.timeout(15):
                await watch.until_end()
        except TimeoutError:
            screen.note(f"{execution_id} is still being killed")
        raise
