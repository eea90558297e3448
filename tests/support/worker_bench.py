"""A worker on a bench: real processes and files, the control plane in memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from levada.files.local import LocalFiles
from levada.jobs.memory import MemoryJobs
from levada.model import jobs as jobs_model
from levada.model.commands import Command, TaskFinished, TaskProgressed
from levada.model.jobs import Job, JobKind, JobTask, LogEntry, MetricEntry
from levada.plugins import discover
from levada.runtime.clock import SystemClock
from levada.sdk.registry import Registry
from levada.sdk.testing import MemoryKv, MemoryNamespaceFiles, MemorySecrets, ScriptedControl
from levada_worker.config import WorkerConfig
from levada_worker.worker import Worker


class Lease(msgspec.Struct):
    """What the executor's store keeps of an attempt."""

    job: bytes
    queue: str = "default"
    priority: int = 0
    attempt: int = 1
    submitted: int = 0
    state: str = "submitted"
    worker: str | None = None
    token: str | None = None
    until: int = 0


class BenchServices:
    def __init__(self, now_us: Any) -> None:
        self.kv = MemoryKv(now_us)
        self.secrets = MemorySecrets({})
        self.namespace_files = MemoryNamespaceFiles()
        self.control = ScriptedControl()


class Bench:
    """Submits jobs and sees what comes back. `results` holds the TaskFinished by task run id."""

    def __init__(self, folder: Path, registry: Registry | None = None, **config: Any) -> None:
        self.clock = SystemClock()
        self.leases: dict[tuple[str, str], Lease] = {}
        settings: dict[str, Any] = {
            "name": "bench", "data_dir": folder / "data", "temp_dir": folder / "tmp", "poll_s": 0.2, "grace_s": 5.0,
            "kill_grace_s": 0.5, **config,
        }  # fmt: skip
        self.config = WorkerConfig(**settings)
        self.jobs = MemoryJobs(self.leases, self, self.clock, lease_s=self.config.lease_s)
        self.files = LocalFiles(folder / "storage", sync=False)
        self.services = BenchServices(self.clock.now_us)
        self.logs: list[LogEntry] = []
        self.metrics: list[MetricEntry] = []
        self.commands: list[Command] = []
        self.results: dict[str, TaskFinished] = {}
        self.progress: dict[str, list[TaskProgressed]] = defaultdict(list)
        self.log_delay_s = 0.0
        self._changed = asyncio.Event()
        self._count = 0
        self.worker = Worker(
            self.jobs,
            lambda claim: self.services,
            lambda claim: self.files,
            registry or discover(),
            self.clock,
            self.config,
            self,
            encryption_key=b"k" * 32,
        )
        self.stop = asyncio.Event()
        self.abort = asyncio.Event()

    # the log sink and the command log

    async def write_logs(self, entries: list[LogEntry]) -> None:
        if self.log_delay_s:
            await asyncio.sleep(self.log_delay_s)
        self.logs += entries
        self._changed.set()

    async def write_metrics(self, entries: list[MetricEntry]) -> None:
        self.metrics += entries

    async def send(self, commands: Sequence[Command]) -> None:
        for command in commands:
            self.commands.append(command)
            if isinstance(command, TaskFinished):
                self.results[command.task_run_id] = command
                self.leases.pop((command.execution_id, command.task_run_id), None)
            elif isinstance(command, TaskProgressed):
                self.progress[command.task_run_id].append(command)
        self._changed.set()

    # what a test does

    def submit(
        self, type_: str, *, kind: JobKind = JobKind.RUN, variables: Mapping[str, Any] | None = None, **task: Any
    ) -> str:
        """Submit a job and return its task run id. Properties of the task go in `properties`."""
        self._count += 1
        run_id = f"taskrun{self._count:015}"
        value = task.pop("value", None)
        on_worker_lost = task.pop("on_worker_lost", "retry")
        branches = {
            name: [JobTask(**child) for child in children] for name, children in task.pop("branches", {}).items()
        }
        job = Job(
            execution_id="execution0000000000000",
            task_run_id=run_id,
            attempt=1,
            namespace="company.team",
            flow_id="flow",
            flow_revision=1,
            kind=kind,
            task=JobTask(id=task.pop("id", "task"), type=type_, branches=branches, **task),
            variables=dict(variables or {}),
            on_worker_lost=on_worker_lost,
            value=value,
        )
        self.leases[job.execution_id, run_id] = Lease(job=jobs_model.encode(job), submitted=self._count)
        self.jobs.notify()
        return run_id

    def shell(self, *commands: str, **task: Any) -> str:
        """Submit a shell task."""
        properties = {"commands": list(commands), **task.pop("properties", {})}
        return self.submit("scripts.shell.Commands", properties=properties, **task)

    async def result(self, run_id: str, timeout_s: float = 20.0) -> TaskFinished:
        async with asyncio.timeout(timeout_s):
            while run_id not in self.results:
                self._changed.clear()
                await self._changed.wait()
        return self.results[run_id]

    async def play(self, type_: str, **task: Any) -> TaskFinished:
        return await self.result(self.submit(type_, **task))

    async def play_shell(self, *commands: str, **task: Any) -> TaskFinished:
        return await self.result(self.shell(*commands, **task))

    def cancel(self, run_id: str) -> None:
        for (_, id_), lease in self.leases.items():
            if id_ == run_id:
                lease.state = "cancel"
        self.jobs.notify()

    def messages(self, level: str | None = None, run_id: str | None = None) -> list[str]:
        return [
            entry.message for entry in self.logs if level in (None, entry.level) and run_id in (None, entry.task_run_id)
        ]

    async def logged(self, text: str, timeout_s: float = 10.0) -> None:
        """Wait until a line with `text` was written."""
        async with asyncio.timeout(timeout_s):
            while not any(text in entry.message for entry in self.logs):
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def bench(folder: Path, registry: Registry | None = None, **config: Any) -> AsyncIterator[Bench]:
    """A worker that runs for the block; its end is checked to be clean."""
    made = Bench(folder, registry, **config)
    running = asyncio.create_task(made.worker.run(made.stop, made.abort))
    try:
        yield made
    finally:
        made.stop.set()
        made.abort.set()
        async with asyncio.timeout(30):
            await running
