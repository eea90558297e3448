"""`levada executions`: what runs, what ran, and how to steer it."""

from __future__ import annotations

from typing import Any

import click

from levada.cli import follow as watching
from levada.cli import screen
from levada.cli.client import Client, inputs_form, segment
from levada.cli.connection import Wanted, output_option, server_options, talk
from levada.cli.failures import Silent
from levada.cli.inputs import input_option, parse_inputs

LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR"]

level_option = click.option(
    "--level", type=click.Choice(LEVELS, case_sensitive=False), default="INFO", show_default=True, help="Least level."
)


@click.group()
def executions() -> None:
    """List, read, follow and steer executions."""


@executions.command("list")
@click.option("--namespace", "-n", help="Only this namespace and those below it.")
@click.option("--flow", "flow_id", help="Only executions of this flow.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only in this state. Repeatable.")
@click.option("--label", "labels", multiple=True, metavar="KEY:VALUE", help="Only with this label. Repeatable.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many, newest first.")
@click.option("--page", default=1, show_default=True, type=click.IntRange(1), help="Which page of that many.")
@output_option
@server_options
def list_(
    wanted: Wanted,
    namespace: str | None,
    flow_id: str | None,
    states: tuple[str, ...],
    labels: tuple[str, ...],
    limit: int,
    page: int,
    output: str,
) -> None:
    """List executions, newest first."""
    query: dict[str, Any] = {"namespace": namespace, "flowId": flow_id, "state": [state.upper() for state in states]}
    query |= {"labels": list(labels), "size": limit, "page": page, "sort": "state.startDate:desc"}
    found = talk(wanted, lambda client: client.get("executions/search", **query))
    if output == "json":
        screen.document(found)
        return
    screen.table(
        ["id", "namespace", "flow", "state", "started", "duration"],
        [
            [
                run["id"],
                run["namespace"],
                run["flowId"],
                watching.current(run),
                screen.date_time(run["state"].get("startDate")),
                screen.duration(run["state"].get("duration")),
            ]
            for run in found["results"]
        ],
    )
    screen.note(f"{len(found['results'])} of {found['total']} executions")


@executions.command()
@click.argument("execution_id")
@output_option
@server_options
def show(wanted: Wanted, execution_id: str, output: str) -> None:
    """Show an execution with its task runs."""
    execution = talk(wanted, lambda client: client.get(f"executions/{segment(execution_id)}"))
    if output == "json":
        screen.document(execution)
        return
    watching.show_end(execution)
    if execution.get("inputs"):
        screen.table(["input", "value"], execution["inputs"].items(), title="Inputs")
    screen.table(
        ["task", "value", "state", "attempts", "started", "duration", "id"],
        [_task_run(run) for run in execution.get("taskRunList") or []],
        title="Task runs",
    )


@executions.command()
@click.argument("execution_id")
@click.option("--task", "task_id", help="Only lines of this task.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the execution ends.")
@level_option
@output_option
@server_options
def logs(wanted: Wanted, execution_id: str, task_id: str | None, follow: bool, level: str, output: str) -> None:
    """Print the log of an execution."""
    path = f"logs/{segment(execution_id)}"

    async def stored(client: Client) -> None:
        entries = await client.get(path, minLevel=level.upper(), taskId=task_id)
        if output == "json":
            screen.document(entries)
            return
        for entry in entries:
            screen.say(screen.log_line(entry))

    async def live(client: Client) -> None:
        async for entry in client.follow(f"{path}/follow", minLevel=level.upper()):
            if task_id is None or entry.get("taskId") == task_id:
                screen.say(screen.log_line(entry))

    talk(wanted, live if follow else stored)


@executions.command()
@click.argument("execution_id")
@level_option
@server_options
def follow(wanted: Wanted, execution_id: str, level: str) -> None:
    """Print log and progress until the execution ends; exit code 1 when it fails. Ctrl-C only stops watching."""

    async def watch(client: Client) -> dict[str, Any]:
        await client.get(f"executions/{segment(execution_id)}")
        return await watching.Watch(client, execution_id, screen.say, level=level.upper()).until_end()

    ended = talk(wanted, watch)
    watching.show_end(ended)
    if watching.current(ended) not in watching.GOOD:
        raise Silent


@executions.command()
@click.argument("execution_id")
@output_option
@server_options
def kill(wanted: Wanted, execution_id: str, output: str) -> None:
    """Stop an execution and its running tasks."""

    async def stop(client: Client) -> Any:
        await client.delete(f"executions/{segment(execution_id)}/kill")
        return await client.get(f"executions/{segment(execution_id)}")

    _show_state(talk(wanted, stop), output)


@executions.command()
@click.argument("execution_id")
@click.option("--revision", type=int, help="Go on with this revision of the flow.")
@output_option
@server_options
def restart(wanted: Wanted, execution_id: str, revision: int | None, output: str) -> None:
    """Run an ended execution on from its failed tasks, under the same id."""
    path = f"executions/{segment(execution_id)}/restart"
    _show_state(talk(wanted, lambda client: client.post(path, revision=revision)), output)


@executions.command()
@click.argument("execution_id")
@click.option("--task-run", "task_run_id", help="Begin at this task run instead of the start.")
@click.option("--revision", type=int, help="Use this revision of the flow.")
@output_option
@server_options
def replay(wanted: Wanted, execution_id: str, task_run_id: str | None, revision: int | None, output: str) -> None:
    """Run an execution again as a new one."""
    path = f"executions/{segment(execution_id)}/replay"
    made = talk(wanted, lambda client: client.post(path, taskRunId=task_run_id, revision=revision))
    _show_state(made, output)


@executions.command()
@click.argument("execution_id")
@output_option
@server_options
def pause(wanted: Wanted, execution_id: str, output: str) -> None:
    """Let running tasks end and start no others."""
    _steer(wanted, execution_id, "pause", output)


@executions.command()
@click.argument("execution_id")
@input_option
@output_option
@server_options
def resume(wanted: Wanted, execution_id: str, inputs: tuple[str, ...], output: str) -> None:
    """Let a paused execution go on."""
    _steer(wanted, execution_id, "resume", output, inputs_form(parse_inputs(inputs)))


def _steer(wanted: Wanted, execution_id: str, action: str, output: str, body: Any = None) -> None:
    async def call(client: Client) -> Any:
        await client.post(f"executions/{segment(execution_id)}/{action}", body)
        return await client.get(f"executions/{segment(execution_id)}")

    _show_state(talk(wanted, call), output)


def _show_state(execution: dict[str, Any], output: str) -> None:
    if output == "json":
        screen.document(execution)
    else:
        screen.say(f"{execution['id']}  {screen.state(watching.current(execution))}")


def _task_run(run: dict[str, Any]) -> list[Any]:
    state = run["state"]
    started, duration = screen.date_time(state.get("startDate")), screen.duration(state.get("duration"))
    return [
        run["taskId"],
        run.get("value"),
        state["current"],
        len(run.get("attempts") or []),
        started,
        duration,
        run["id"],
    ]
