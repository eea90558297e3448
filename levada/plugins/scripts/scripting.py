"""What the script tasks of all languages share: properties, outputs, and the way from commands to a finished process.

The commands are one text for one interpreter, `beforeCommands` first, so that variables and `cd` carry over; with `failFast`
a failing line ends it. Expressions see `workingDir` and `outputDir` besides the usual variables: what is written into
`outputDir` (also OUTPUT_DIR; the folder is made when the task names it) is stored without a line in `outputFiles`.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from levada.model.errors import UserError
from levada.plugins.core.vocabulary import NamespaceFilesProperty
from levada.plugins.scripts import runner
from levada.sdk import Outputs, ProcessResult, RunContext, Task, TaskFailed
from levada.sdk.properties import render_property

#: The kernel takes at most 128 KiB as one argument; longer scripts go through a file.
ARGUMENT_MAX_BYTES = 100 * 1024
SHELL = ("/bin/sh", "-c")


class ScriptOutputs(Outputs, kw_only=True):
    """`vars` is what the process wrote as `::{"outputs": …}::`; `outputFiles` maps relative paths to URIs."""

    exit_code: int
    vars: dict[str, Any]
    output_files: dict[str, str]
    std_out_line_count: int
    std_err_line_count: int
    task_runner: dict[str, Any] = msgspec.field(default_factory=dict)


class Scripting(Task, kw_only=True):
    """The properties of every script task. `containerImage`, `docker` and `runner` belong to container runners."""

    #: Rendered in `run`, where `workingDir` and `outputDir` are known.
    RAW = frozenset({"commands", "script", "beforeCommands", "env", "interpreter"})
    DEPRECATED_PROPERTIES = frozenset({"docker", "outputDirectory", "runner", "warningOnStdErr"})
    #: Lines that make the interpreter stop at the first failing command.
    FAIL_FAST: ClassVar[str | None] = "set -e"
    #: Of the file that holds the script, for languages that have one.
    SUFFIX: ClassVar[str | None] = None

    before_commands: list[str] | str | None = None
    container_image: str | None = None
    docker: dict[str, Any] | None = None
    env: dict[str, Any] | str | None = None
    fail_fast: bool = True
    input_files: dict[str, Any] | list[str] | str | None = None
    interpreter: list[str] | str | None = None
    namespace_files: NamespaceFilesProperty | bool | None = None
    output_directory: bool = False
    output_files: list[str] | str | None = None
    runner: Literal["PROCESS", "DOCKER"] | None = None
    target_os: Literal["AUTO", "LINUX", "WINDOWS"] = msgspec.field(name="targetOS", default="AUTO")
    task_runner: dict[str, Any] | None = None
    warning_on_std_err: bool | None = None

    async def run(self, ctx: RunContext) -> ScriptOutputs:
        process = runner.chosen(self.task_runner, self.runner)
        self._warn(ctx)
        output_dir = ctx.working_dir / f"output-{ctx.task_run_id}-{ctx.attempt}"
        places = {"workingDir": str(ctx.working_dir), "outputDir": str(output_dir)}
        await ctx.prepare_files(self.input_files, _plain(self.namespace_files))
        if self._uses_output_dir():
            output_dir.mkdir(exist_ok=True)
        env = await self._environment(ctx, places)
        argv = await self._argv(ctx, places, env)
        grace = process.kill_grace_period
        result = await ctx.run_process(
            argv,
            env={**env, "OUTPUT_DIR": str(output_dir)} if self._uses_output_dir() else env,
            kill_grace_s=None if grace is None else grace.total_seconds(),
        )
        if self.SUFFIX is not None:
            _script_file(ctx, self.SUFFIX).unlink(missing_ok=True)
        outputs = await self._outputs(ctx, result, output_dir)
        if result.exit_code != 0:
            raise TaskFailed(_failure(result.exit_code), msgspec.to_builtins(outputs))
        return outputs

    async def main_command(self, ctx: RunContext, places: Mapping[str, str]) -> str:
        """Return the text that the interpreter gets after `beforeCommands`."""
        raise NotImplementedError

    async def more_environment(self, ctx: RunContext) -> dict[str, str]:
        """Return variables that the language needs; those of the task win over them."""
        return {}

    def _uses_output_dir(self) -> bool:
        """Making the folder costs more than a short command does: leave it out when nothing refers to it."""
        text = repr((self.before_commands, self.env, self.input_files, self.interpreter, *self._texts()))
        return "outputDir" in text or "OUTPUT_DIR" in text

    def _texts(self) -> Sequence[Any]:
        """The raw properties that hold code."""
        return [getattr(self, name, None) for name in ("commands", "script")]

    async def _environment(self, ctx: RunContext, places: Mapping[str, str]) -> dict[str, str]:
        env = await rendered(ctx, "env", self.env, places)
        if isinstance(env, str):
            env = msgspec.json.decode(env)
        return {**await self.more_environment(ctx), **{str(key): _text(value) for key, value in (env or {}).items()}}

    async def _argv(self, ctx: RunContext, places: Mapping[str, str], env: Mapping[str, str]) -> list[str]:
        interpreter = await texts(ctx, "interpreter", self.interpreter, places) or list(SHELL)
        before = await texts(ctx, "beforeCommands", self.before_commands, places)
        first = [self.FAIL_FAST] if self.fail_fast and self.FAIL_FAST and _is_shell(interpreter[0]) else []
        text = "\n".join([*first, *before, await self.main_command(ctx, places)])
        if len(text.encode("utf-8", "replace")) > ARGUMENT_MAX_BYTES:
            path = _write(ctx.working_dir / f".commands-{ctx.task_run_id}", text)
            text = f". '{path}'"
        return [*interpreter, text]

    async def _outputs(self, ctx: RunContext, result: ProcessResult, output_dir: Path) -> ScriptOutputs:
        patterns = self.output_files
        if isinstance(patterns, str):
            patterns = [patterns] if not patterns.startswith("[") else msgspec.json.decode(patterns, type=list[str])
        files = await ctx.collect_files(patterns) if patterns else {}
        if not _remove_if_empty(output_dir):
            found = await ctx.collect_files([f"{output_dir.name}/**"])
            files |= {name.removeprefix(f"{output_dir.name}/"): uri for name, uri in found.items()}
        return ScriptOutputs(
            exit_code=result.exit_code,
            vars=result.outputs,
            output_files=files,
            std_out_line_count=result.stdout_lines,
            std_err_line_count=result.stderr_lines,
        )

    def _warn(self, ctx: RunContext) -> None:
        if self.target_os == "WINDOWS":
            raise UserError("property `targetOS`: this worker runs on Linux, not on Windows")
        if self.docker is not None:
            ctx.log("WARN", "`docker` is deprecated and has no effect: the command runs as a process of the worker")
        elif self.container_image is not None:
            ctx.log("DEBUG", "`containerImage` has no effect: the command runs as a process of the worker")


class CommandsTask(Scripting, kw_only=True):
    """A list of shell commands."""

    commands: list[str] | str

    async def main_command(self, ctx: RunContext, places: Mapping[str, str]) -> str:
        return await joined_commands(ctx, self.commands, places)


class ScriptTask(Scripting, kw_only=True):
    """A script in the language itself: written to a file and run by `PROGRAM`."""

    PROGRAM: ClassVar[str]

    script: str

    async def main_command(self, ctx: RunContext, places: Mapping[str, str]) -> str:
        return await script_command(ctx, self.PROGRAM, self.SUFFIX or "", self.script, places)


async def joined_commands(ctx: RunContext, commands: Sequence[str] | str, places: Mapping[str, str]) -> str:
    return "\n".join(await texts(ctx, "commands", commands, places))


async def script_command(ctx: RunContext, program: str, suffix: str, script: str, places: Mapping[str, str]) -> str:
    """Write the script into the working directory (scripts import their neighbours); return the command to run it."""
    text = await rendered(ctx, "script", script, places)
    return f"{program} '{_write(_script_file(ctx, suffix), str(text))}'"


async def rendered(ctx: RunContext, name: str, value: Any, places: Mapping[str, str]) -> Any:
    """Render a property with `places`; an error names it."""

    async def render(text: Any) -> Any:
        return await ctx.render(text, places)

    return await render_property(name, value, render)


async def texts(ctx: RunContext, name: str, value: Sequence[str] | str | None, places: Mapping[str, str]) -> list[str]:
    """Render a property that is a list of texts, or one text that renders to such a list (or is the only one)."""
    found = await rendered(ctx, name, value, places)
    if found is None:
        return []
    if isinstance(found, str):
        if not found.strip().startswith("["):
            return [found]
        try:
            found = msgspec.json.decode(found)
        except msgspec.DecodeError:
            return [found]
    return [_text(item) for item in found]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode() if value is not None else ""


def _is_shell(program: str) -> bool:
    return os.path.basename(program) in ("sh", "bash", "dash", "ash", "zsh", "ksh")


def _failure(code: int) -> str:
    message = f"Command failed with exit code {code}"
    if code == 137:
        return f"{message}: it was killed (SIGKILL), perhaps because the machine ran out of memory"
    if code > 128:
        return f"{message}: it was ended by signal {code - 128}"
    if code == 127:
        return f"{message}: a command was not found"
    return message


def _plain(choice: NamespaceFilesProperty | bool | None) -> Any:
    return msgspec.to_builtins(choice)


def _script_file(ctx: RunContext, suffix: str) -> Path:
    return ctx.working_dir / f"script_{ctx.task_run_id}{suffix}"


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def _remove_if_empty(folder: Path) -> bool:
    """Return whether the folder is gone, or never was."""
    try:
        folder.rmdir()
    except OSError:
        return not folder.exists()
    return True
