"""Where a worker is put together: inside the process of the platform, or in one of its own."""

import asyncio
import hashlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from levada.files.port import Files
from levada.jobs.port import Jobs
from levada.model.jobs import LogEntry, MetricEntry
from levada.plugins import discover
from levada.runtime.clock import Clock
from levada.sdk import shared
from levada.sdk.context import Services
from levada_worker.config import WorkerConfig
from levada_worker.worker import Worker

PREFIX = "levada-worker-"


class Entries(Protocol):
    async def write(self, entries: Sequence[Any]) -> None: ...


class Embedding(Protocol):
    """What of the platform (levada/runtime/platform.py) a worker needs; it must not see the database behind it."""

    @property
    def config(self) -> Any: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def files(self) -> Files: ...
    @property
    def logs(self) -> Entries: ...
    @property
    def metrics(self) -> Entries: ...

    @property
    def encryption_key(self) -> bytes | None: ...

    def services(self, tenant: str) -> Services: ...


class StoreSink:
    """Log lines straight into the log store of the process."""

    def __init__(self, logs: Entries, metrics: Entries) -> None:
        self._logs = logs
        self._metrics = metrics

    async def write_logs(self, entries: list[LogEntry]) -> None:
        await self._logs.write(entries)

    async def write_metrics(self, entries: list[MetricEntry]) -> None:
        await self._metrics.write(entries)


async def run(platform: Embedding, stop: asyncio.Event) -> None:
    """Run a worker inside the platform's process until `stop`; being cancelled ends it at once."""
    base = await asyncio.to_thread(temporary, platform.config.worker.temp_dir)
    worker = Worker(
        platform.jobs,
        platform.services,
        platform.files,
        discover(),
        platform.clock,
        configured(platform.config, base),
        StoreSink(platform.logs, platform.metrics),
        encryption_key=platform.encryption_key,
    )
    try:
        await worker.run(stop)
    finally:
        await shared.close_all()  # what plugins keep between runs, such as pools of connections
        shutil.rmtree(base, ignore_errors=True)


def temporary(parent: Path | None) -> Path:
    """Make the folder of this worker's working directories; remove those of workers that died without doing so."""
    base = Path(parent or tempfile.gettempdir())
    base.mkdir(parents=True, exist_ok=True)
    for left in base.glob(f"{PREFIX}*-*"):
        owner = left.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not left.is_symlink() and left.stat().st_uid == os.getuid() and not _alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=base))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def configured(config: Any, temp_dir: Path) -> WorkerConfig:
    """Return the worker's settings out of the one configuration tree."""
    data_dir = Path(config.data_dir).resolve() / "worker"
    place = hashlib.blake2b(str(data_dir).encode(), digest_size=4).hexdigest()
    return WorkerConfig(
        # The same after a restart, so that spooled results are found again; another one for every data folder.
        name=f"{socket.gethostname()}-{place}",
        data_dir=data_dir,
        temp_dir=temp_dir,
        slots=config.worker.slots,
        queues=tuple(config.worker.queues),
        lease_s=config.worker.lease,
        grace_s=max(config.server.shutdown_grace - config.worker.kill_grace, 0.0),
        kill_grace_s=config.worker.kill_grace,
        output_bytes=config.limits.output,
        log_line_bytes=config.limits.log_line,
        attempt_log_bytes=config.limits.attempt_logs,
        stdout_rate_bytes=config.limits.stdout_rate,
    )


def main() -> None:
    """Say that a worker in a process of its own needs the gateway, which the api service does not have yet."""
    sys.stderr.write(
        "a worker in a process of its own reaches the control plane through the worker gateway of the api service, "
        "which this version does not have; `levada standalone` and `levada dev` run workers inside their process\n"
    )
    sys.exit(3)
