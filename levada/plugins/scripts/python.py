"""Python: `scripts.python.Commands` and `scripts.python.Script`.

`python` on the path of the process is that of an environment with the task's `dependencies`, of `pythonVersion` (see
`environments`); without either, of an empty one. `from kestra import Kestra` works in every script.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from levada.plugins.scripts import environments
from levada.plugins.scripts.environments import Wanted
from levada.plugins.scripts.scripting import Scripting, joined_commands, script_command, texts
from levada.sdk import RunContext, Task

MODULES = Path(__file__).with_name("pythonpath")
"""Modules that Python scripts can import; `kestra` is one."""


class PythonTask(Scripting, kw_only=True):
    """The properties that only Python tasks have. The installer options of uv are accepted: uv is always there."""

    dependencies: list[str] | str | None = None
    dependency_cache_enabled: bool = True
    package_manager: Literal["UV", "PIP"] = "UV"
    python_version: str | None = None
    uv_auto_install_enabled: bool = True
    uv_installer_sha256: str | None = None
    uv_installer_version: str | None = None

    async def more_environment(self, ctx: RunContext) -> dict[str, str]:
        names = tuple(await texts(ctx, "dependencies", self.dependencies, {}))
        wanted = Wanted(names, self.python_version, self.package_manager)
        binaries = await environments.ready(ctx, wanted, cached=self.dependency_cache_enabled)
        env = {
            "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "VIRTUAL_ENV": str(binaries.parent),
            "PYTHONUNBUFFERED": "1",
            "PYTHONIOENCODING": "utf-8",
        }
        if not any(name.partition("=")[0].strip().rstrip("<>!~") == "kestra" for name in names):
            env["PYTHONPATH"] = str(MODULES)
        return env

    async def _environment(self, ctx: RunContext, places: Mapping[str, str]) -> dict[str, str]:
        """A PYTHONPATH of the task comes first, it does not hide our modules."""
        env = await super()._environment(ctx, places)
        path = env.get("PYTHONPATH", "")
        if path and str(MODULES) not in path:
            env["PYTHONPATH"] = f"{path}{os.pathsep}{MODULES}"
        return env


class Commands(PythonTask, kw_only=True):
    """Runs shell commands with Python at hand. Without a `taskRunner` they run as a process of the worker."""

    TYPE = "scripts.python.Commands"

    commands: list[str] | str

    async def main_command(self, ctx: RunContext, places: Mapping[str, str]) -> str:
        return await joined_commands(ctx, self.commands, places)


class Script(PythonTask, kw_only=True):
    """Runs a Python script. Without a `taskRunner` it runs as a process of the worker."""

    TYPE = "scripts.python.Script"
    SUFFIX = ".py"

    script: str

    async def main_command(self, ctx: RunContext, places: Mapping[str, str]) -> str:
        return await script_command(ctx, "python", self.SUFFIX, self.script, places)


TASKS: list[type[Task]] = [Commands, Script]
