"""Shell: `scripts.shell.Commands` and `scripts.shell.Script`."""

from collections.abc import Mapping

from levada.plugins.scripts.scripting import CommandsTask, Scripting, rendered
from levada.sdk import RunContext, Task


class Commands(CommandsTask, kw_only=True):
    """Runs commands in a shell (`/bin/sh -c` unless `interpreter` says otherwise).

    Without a `taskRunner` they run as a process of the worker, in a temporary working directory.
    """

    TYPE = "scripts.shell.Commands"


class Script(Scripting, kw_only=True):
    """Runs a shell script of several lines. Without a `taskRunner` it runs as a process of the worker."""

    TYPE = "scripts.shell.Script"

    script: str

    async def main_command(self, ctx: RunContext, places: Mapping[str, str]) -> str:
        return str(await rendered(ctx, "script", self.script, places))


TASKS: list[type[Task]] = [Commands, Script]
