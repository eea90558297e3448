"""The tree of commands, loaded one by one, and the one place where errors become a line and an exit code.

`COMMANDS` says which module holds which command and what `levada --help` prints for it, so the help of the program needs
no command's imports. A test asserts that each line equals the short help of the command itself.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable, Sequence

import click

from levada.cli import failures
from levada.model.errors import LevadaError

COMMANDS: dict[str, tuple[str, str]] = {
    "dev": ("standalone", "Run everything for development, with a folder of flows kept live."),
    "standalone": ("standalone", "Run all services in one process."),
    "serve": ("serve", "Run one service."),
    "migrate": ("migrate", "Bring the database to the schema of this release."),
    "cluster": ("cluster", "Run every service as processes of its own on this machine."),
    "run": ("run", "Deploy the flow of FILE, run it, and show its logs until it ends."),
    "validate": ("validate", "Check flow files without a server."),
    "eval": ("evaluate", "Evaluate an expression."),
    "flows": ("flows", "List, read, deploy and delete flows."),
    "executions": ("executions", "List, read, follow and steer executions."),
    "why": ("why", "Say why an execution does not move, or why the triggers of a flow do not start it."),
    "dead-letters": ("dead_letters", "List, show, replay and drop messages that could not be applied."),
    "reconcile": (
        "reconcile",
        "Send again what was accepted and is not applied yet, as after the loss of the Kafka log.",
    ),
    "audit": ("audit", "Show who changed what, newest first."),
    "topics": ("topics", "Plan, make and check the Kafka topics of this installation."),
    "config": ("config", "Show the configuration and where each value comes from."),
    "health": (
        "health",
        "Ask the service of this machine how it is; exit code 1 when it is not well, 3 when it does not answer.",
    ),
    "doctor": ("doctor", "Check this machine and data folder, and say what to do."),
    "version": ("version", "Print the version."),
}
"""Command -> (module under `levada.cli.commands`, short help). The attribute in the module is named like the command."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return load(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def load(name: str) -> click.Command:
    """Import the command `name`."""
    module = importlib.import_module(f"levada.cli.commands.{COMMANDS[name][0]}")
    command = module.eval_ if name == "eval" else getattr(module, name.replace("-", "_"))
    assert isinstance(command, click.Command)
    return command


@click.group(cls=LazyGroup, name="levada", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Print the traceback of an error.")
@click.version_option(package_name="levada", message="levada %(version)s")
def levada(debug: bool) -> None:
    """Levada orchestrates data pipelines: flows in YAML, run on one machine or many."""


def run(arguments: Sequence[str]) -> int:
    """Run the program and return its exit code."""

    def invoke() -> None:
        with levada.make_context("levada", list(arguments)) as context:
            levada.invoke(context)

    return guarded(invoke, debug="--debug" in arguments)


def guarded(main: Callable[[], object], *, debug: bool = False) -> int:
    """Call `main` and return the exit code; every error ends as one message on stderr."""
    try:
        main()
        return failures.OK
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  (the last one to hear of it tells the person)
        _report(error, debug=debug)
        return failures.exit_code(error)


def _report(error: BaseException, *, debug: bool) -> None:
    if debug and not isinstance(error, click.exceptions.Exit):
        traceback.print_exc(file=sys.stderr)
    match error:
        case click.exceptions.Exit() | failures.Silent():
            return
        case click.ClickException():
            error.show()
        case click.Abort() | KeyboardInterrupt():
            click.echo("interrupted", err=True)
        case LevadaError():
            click.echo(f"error: {error}", err=True)
        case BrokenPipeError():
            # The reader of a pipe went away (`levada executions list | head -1`): nothing to tell anybody.
            sys.stderr.close()
        case _:
            click.echo(
                f"internal error: {type(error).__name__}: {error} (run `levada --debug …` for details)", err=True
            )
