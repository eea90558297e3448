"""Task runners: where the process of a script task runs.

Levada runs processes on the worker (`core.runner.Process`), and that is also what happens when a task names no runner:
Kestra's default, a Docker container, needs a Docker daemon. A task that asks for Docker by name is accepted as a flow and
fails when it runs, saying so.
"""

from datetime import timedelta
from typing import Any, Literal

import msgspec

from levada.model.errors import UserError
from levada.sdk import Part, canonical
from levada.sdk.properties import convert

PROCESS = "core.runner.Process"
DOCKER = "scripts.runner.docker.Docker"
ALIASES = {"core.tasks.runners.Process": PROCESS, "plugin.scripts.runner.docker.Docker": DOCKER}

Flag = bool


class Process(Part, frozen=True):
    """A child process on the worker, in the working directory."""

    version: str | None = None
    plugin_defaults_ref: str | None = None
    #: How long the processes of a stopped task may take to end by themselves; unset: the worker's setting.
    kill_grace_period: timedelta | None = None


class Docker(Part, frozen=True):
    """A container. Its properties are known so that flows can be checked."""

    config: str | dict[str, Any] | None = None
    cpu: dict[str, Any] | None = None
    credentials: dict[str, Any] | None = None
    delete: Flag = True
    device_requests: list[dict[str, Any]] | None = None
    entry_point: list[str] | None = None
    extra_hosts: list[str] | None = None
    file_handling_strategy: Literal["MOUNT", "VOLUME"] = "VOLUME"
    host: str | None = None
    image: str | None = None
    kill_grace_period: timedelta = timedelta()
    memory: dict[str, Any] | None = None
    network_mode: str | None = None
    plugin_defaults_ref: str | None = None
    port_bindings: list[str] | None = None
    privileged: Flag = False
    pull_policy: Literal["IF_NOT_PRESENT", "ALWAYS", "NEVER"] | None = None
    resume: Flag = True
    shm_size: str | None = None
    user: str | None = None
    version: str | None = None
    volumes: list[str] | None = None
    wait: Flag = True


RUNNERS: dict[str, type[msgspec.Struct]] = {PROCESS: Process, DOCKER: Docker}


def chosen(given: dict[str, Any] | None, legacy: str | None) -> Process:
    """Return the runner to use. Raises UserError for one that cannot run here, or that has bad properties."""
    if given is None:
        if legacy == "DOCKER":
            raise UserError(_no_docker("runner: DOCKER"))
        return Process()
    name = given.get("type")
    if not isinstance(name, str):
        raise UserError(f"property `taskRunner` needs a `type`, for instance {PROCESS}")
    type_ = ALIASES.get(canonical(name), canonical(name))
    cls = RUNNERS.get(type_)
    if cls is None:
        raise UserError(f"the task runner {name} is not available here; use `taskRunner: {{type: {PROCESS}}}`")
    runner = convert(cls, {key: value for key, value in given.items() if key != "type"}, name=f"taskRunner {type_}")
    if not isinstance(runner, Process):
        raise UserError(_no_docker(f"taskRunner {name}"))
    return runner


def _no_docker(asked: str) -> str:
    return (
        f"{asked} needs Docker, which this worker does not use; write `taskRunner: {{type: {PROCESS}}}` "
        "(or leave the runner out) to run the command as a process of the worker"
    )
