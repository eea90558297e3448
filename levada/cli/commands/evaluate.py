"""`levada eval`: what an expression gives."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from levada.cli import screen
from levada.cli.client import Client, segment
from levada.cli.connection import Wanted, output_option, server_options, talk
from levada.cli.failures import BadUsage, CheckFailed
from levada.cli.inputs import split
from levada.model.errors import UserError
from levada.runtime.clock import Clock, SystemClock


@click.command("eval")
@click.argument("expression")
@click.option("--var", "variables", multiple=True, metavar="NAME=VALUE", help="A variable; JSON or text. Repeatable.")
@click.option(
    "--vars", "file", type=click.Path(path_type=Path, dir_okay=False), help="A JSON or YAML file of variables."
)
@click.option("--execution", metavar="ID", help="Evaluate with what this execution of the server knows.")
@click.option("--task-run", metavar="ID", help="Evaluate as this task run of it sees the world.")
@output_option
@server_options
def eval_(
    wanted: Wanted,
    expression: str,
    variables: tuple[str, ...],
    file: Path | None,
    execution: str | None,
    task_run: str | None,
    output: str,
) -> None:
    """Evaluate an expression.

    EXPRESSION is a template such as '{{ inputs.name | upper }}'. It is evaluated here with the given variables, or by
    the server with what an execution knows.
    """
    if execution is not None:
        if variables or file:
            raise BadUsage("--execution brings its own variables; leave out --var and --vars")
        result = talk(wanted, lambda client: remote(client, expression, execution, task_run))
    elif task_run is not None:
        raise BadUsage("--task-run needs --execution")
    else:
        result = local(expression, read_variables(variables, file))
    if output == "json":
        screen.document({"result": result})
    else:
        screen.say(result if isinstance(result, str) else json.dumps(result, ensure_ascii=False))


async def remote(client: Client, expression: str, execution_id: str, task_run_id: str | None) -> Any:
    """Let the server evaluate with an execution's context; secrets come back masked."""
    path = f"executions/{segment(execution_id)}/eval" + (f"/{segment(task_run_id)}" if task_run_id else "")
    answer = await client.post(path, expression)
    if "error" in answer:
        raise CheckFailed(str(answer["error"]))
    return answer.get("result")


def local(expression: str, variables: dict[str, Any]) -> Any:
    """Evaluate here; functions that need a service (secret, kv, read, http …) say so."""
    from levada import expr

    return expr.render(expression, variables, Offline(SystemClock()))


class Offline:
    """The world of an expression without a server: there is the time, and there is chance."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_us() / 1e6, UTC)

    def random_bytes(self, n: int) -> bytes:
        return self._clock.random_bytes(n)

    def call(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        raise UserError(f"{name}() needs a server; use --execution ID, or give the value with --var")


def read_variables(given: tuple[str, ...], file: Path | None) -> dict[str, Any]:
    """Return variables: the file's, with those of `--var` put over them; `a.b=1` reaches into a map."""
    variables: dict[str, Any] = _read_file(file) if file else {}
    for text in given:
        name, value = split(text, "--var")
        *folders, last = name.split(".")
        target = variables
        for folder in folders:
            target = target.setdefault(folder, {})
            if not isinstance(target, dict):
                raise BadUsage(f"--var {text}: {folder} is a value already, not a map")
        target[last] = _value(value)
    return variables


def _read_file(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise BadUsage(f"--vars {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is neither JSON nor YAML: {error}") from error
    if not isinstance(content, dict):
        raise BadUsage(f"--vars {path}: it must hold a map of variables")
    return content


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
