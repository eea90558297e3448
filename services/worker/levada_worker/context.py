"""The world of one attempt on a worker: `levada.sdk.RunContext` over the worker's parts."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from levada.model.errors import UserError
from levada.model.jobs import Job
from levada.runtime import telemetry
from levada.sdk.context import Control, Kv, NamespaceFiles, ProcessResult, Secrets, Services
from levada_worker import workfiles
from levada_worker.attempt_log import AttemptLog
from levada_worker.process import run as process
from levada_worker.process.guarded import CannotStart, Guard
from levada_worker.render import Renderer
from levada_worker.storage import TaskStorage


class ProcessLimits(msgspec.Struct, frozen=True, kw_only=True):
    kill_grace_s: float
    line_bytes: int
    rate_bytes: int


class Urgency:
    """Whether processes of an attempt that is stopped still get their grace; shared by all that belongs to it."""

    def __init__(self) -> None:
        self.now = False


class WorkerContext:
    """`folder` is made when it is first asked for, so that tasks without files cost none."""

    def __init__(
        self,
        job: Job,
        log: AttemptLog,
        renderer: Renderer,
        storage: TaskStorage,
        services: Services,
        guard: Guard,
        limits: ProcessLimits,
        folder: Path,
        urgency: Urgency,
        cache_dir: Path,
    ) -> None:
        self._job = job
        self._log = log
        self._renderer = renderer
        self._services = services
        self._guard = guard
        self._limits = limits
        self._folder = folder
        self._made = False
        self.storage = storage
        self.urgency = urgency
        self.cache_dir = cache_dir

    @property
    def execution_id(self) -> str:
        return self._job.execution_id

    @property
    def namespace(self) -> str:
        return self._job.namespace

    @property
    def flow_id(self) -> str:
        return self._job.flow_id

    @property
    def tenant(self) -> str:
        return self._job.tenant

    @property
    def task_id(self) -> str:
        return self._log.identity.task_id

    @property
    def task_run_id(self) -> str:
        return self._log.identity.task_run_id

    @property
    def attempt(self) -> int:
        return self._job.attempt

    @property
    def trace_parent(self) -> str | None:
        return telemetry.current() or self._job.trace_parent

    @property
    def variables(self) -> Mapping[str, Any]:
        return self._renderer.variables

    @property
    def working_dir(self) -> Path:
        if not self._made:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._made = True
        return self._folder

    @property
    def kv(self) -> Kv:
        return self._services.kv

    @property
    def secrets(self) -> Secrets:
        return self._services.secrets

    @property
    def namespace_files(self) -> NamespaceFiles:
        return self._services.namespace_files

    @property
    def control(self) -> Control:
        return self._services.control

    def now_us(self) -> int:
        return self._log.now_us()

    async def render(self, value: Any, extra: Mapping[str, Any] | None = None) -> Any:
        return await self._renderer.render(value, extra)

    async def evaluate(self, value: Any, extra: Mapping[str, Any] | None = None) -> Any:
        return await self._renderer.evaluate(value, extra)

    def log(self, level: str, message: str) -> None:
        self._log.write(level, message)

    def counter(self, name: str, value: float, **tags: str) -> None:
        self._log.metric("counter", name, value, tags)

    def timer(self, name: str, milliseconds: float, **tags: str) -> None:
        self._log.metric("timer", name, milliseconds, tags)

    def gauge(self, name: str, value: float, **tags: str) -> None:
        self._log.metric("gauge", name, value, tags)

    async def prepare_files(self, input_files: Any = None, namespace_files: Any = None) -> list[str]:
        """Namespace files first, so that inputFiles of the same name win."""
        written: list[str] = []
        if namespace_files is not None:
            written += await workfiles.put_namespace_files(
                self.working_dir, namespace_files, self.namespace, self.namespace_files, self._warn
            )
        if input_files is not None:
            written += await workfiles.put_inputs(self.working_dir, input_files, self.storage)
        return list(dict.fromkeys(written))

    async def collect_files(self, patterns: Sequence[str]) -> dict[str, str]:
        return await workfiles.collect(self.working_dir, patterns, self.storage, self._warn)

    async def run_process(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        kill_grace_s: float | None = None,
    ) -> ProcessResult:
        limits = self._limits
        grace = limits.kill_grace_s if kill_grace_s is None else kill_grace_s
        printed = process.Printed(self._log, line_bytes=limits.line_bytes, rate_bytes=limits.rate_bytes)
        folder = cwd or self.working_dir
        parent = self.trace_parent
        extra = {"TRACEPARENT": parent} if parent else {}
        try:
            result, ended = await process.run(
                self._guard,
                printed,
                argv,
                env=process.environment(self.working_dir, env, extra),
                cwd=folder,
                grace_s=lambda: 0.0 if self.urgency.now else grace,
            )
        except CannotStart as problem:
            raise UserError(f"cannot start `{argv[0]}`: {problem}") from problem
        if ended.left:
            self._warn(f"{ended.left} background processes still ran after the command had ended; they were killed")
        if ended.survivors:
            self.log("ERROR", f"processes {ended.survivors} cannot be killed: they hang in the kernel of this machine")
        return result

    async def holds(self, condition: Any) -> bool:
        return await self._renderer.holds(condition)

    @property
    def has_folder(self) -> bool:
        """Whether the working directory was made."""
        return self._made

    def clear(self) -> None:
        """Remove the working directory and all that is in it. Blocks: call it in a thread."""
        try:
            os.rmdir(self._folder)
        except OSError:
            shutil.rmtree(self._folder, onerror=_make_writable)

    def _warn(self, message: str) -> None:
        self.log("WARN", message)


def _make_writable(function: Callable[[str], object], path: str, problem: object) -> None:
    """Tasks leave folders without write permission behind (package caches do): give it back and try again."""
    os.chmod(os.path.dirname(path), 0o700)
    if os.path.isdir(path) and not os.path.islink(path):
        os.chmod(path, 0o700)
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.unlink(path)
