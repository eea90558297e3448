"""The processes under test, as the harnesses see them: names, signals, addresses. What they are inside is not known here.

`Fleet` is what every harness needs. `Standalone` is one process with everything in it; `Services` a cluster of one process
per service (levada/cli/cluster), on either bus. A fleet starts nothing again by itself: what dies stays down until the
harness starts it, but for Postgres, which its own supervisor brings back.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, Self

import aiohttp
import audit
from installation import Installation

from levada.cli.cluster import Cluster, Counts
from levada.cli.cluster.settings import Bus

POSTGRES = "postgres"
CANARY = "k7#Qv!29-canary-Zt4mWx"
"""The value of the secret that nobody may see."""

SECRET = {"LEVADA_SECRET_CANARY": CANARY}


class Fleet(Protocol):
    """Use it as `async with`. Names are `worker-1`, `api-2`, `postgres`, `broker-1`, or `standalone`."""

    #: webhook, scheduler, secrets, kafka: what of the workload it can run (workload.NEEDS).
    can: frozenset[str]
    lease_s: float

    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, *error: object) -> None: ...

    @property
    def urls(self) -> Sequence[str]:
        """Addresses of all api processes, whether they live or not."""

    @property
    def webhooks(self) -> Sequence[str]: ...
    @property
    def dsn(self) -> str: ...

    def names(self, service: str = "") -> list[str]:
        """Return the processes of a service, or all; without Postgres and brokers."""

    def brokers(self) -> list[str]: ...
    def alive(self, name: str) -> bool: ...
    async def ready(self, name: str) -> bool:
        """Whether it says that it can do its work."""

    def workers(self) -> dict[str, str]:
        """Return which process goes by which worker's name."""

    async def kill(self, name: str) -> None:
        """SIGKILL, also of `postgres` (its postmaster) and brokers; returns when it is dead."""

    async def crash_postgres(self) -> None:
        """What `pg_ctl stop -m immediate` does: SIGQUIT. Its supervisor starts it again."""

    async def freeze(self, name: str) -> None: ...
    async def thaw(self, name: str) -> None: ...
    async def end(self, name: str) -> int | None:
        """SIGTERM; return the exit code."""

    async def start(self, name: str, env: Mapping[str, str] | None = None) -> None:
        """Start what is down, without waiting for readiness; `env` counts for this life only."""

    async def until_ready(self, seconds: float) -> None:
        """Wait until everything that lives is ready. Raises TimeoutError or what the fleet says."""

    def log(self, name: str) -> Path:
        """Return the file with everything that the lives of a process printed."""

    def folders(self) -> list[Path]:
        """Return where its files are: logs, storage, working directories."""


class Standalone:
    """One process with all services and the embedded Postgres."""

    NAME = "standalone"
    can = frozenset({"secrets", "webhook", "scheduler"})

    def __init__(self, folder: Path, *, lease_s: float = 3.0, env: Mapping[str, str] | None = None) -> None:
        self.lease_s = lease_s
        self.installation = Installation(folder, {"LEVADA_WORKER_LEASE": f"{lease_s:g}", **SECRET, **(env or {})})

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.installation.start)
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self.installation.close)

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.installation.port}"]

    @property
    def webhooks(self) -> list[str]:
        return self.urls

    @property
    def dsn(self) -> str:
        return audit.dsn(self.installation.data)

    def names(self, service: str = "") -> list[str]:
        return [self.NAME] if service in ("", self.NAME) else []

    def brokers(self) -> list[str]:
        return []

    def alive(self, name: str) -> bool:
        return self.installation.alive()

    async def ready(self, name: str) -> bool:
        return self.installation.alive() and await asyncio.to_thread(self.installation.healthy)

    def workers(self) -> dict[str, str]:
        return {}

    async def kill(self, name: str) -> None:
        if name == POSTGRES:
            self._signal_postgres(signal.SIGKILL)
        else:
            await asyncio.to_thread(self.installation.kill)

    async def crash_postgres(self) -> None:
        self._signal_postgres(signal.SIGQUIT)

    def _signal_postgres(self, number: signal.Signals) -> None:
        pid = self.installation.postmaster()
        if pid is not None:
            os.kill(pid, number)

    async def freeze(self, name: str) -> None:
        os.kill(self.installation.pid, signal.SIGSTOP)

    async def thaw(self, name: str) -> None:
        os.kill(self.installation.pid, signal.SIGCONT)

    async def end(self, name: str) -> int | None:
        return await asyncio.to_thread(self.installation.end, signal.SIGTERM)

    async def start(self, name: str, env: Mapping[str, str] | None = None) -> None:
        self.installation.launch(**(env or {}))

    async def until_ready(self, seconds: float) -> None:
        if self.installation.alive():
            await asyncio.to_thread(self.installation.wait_healthy, seconds)

    def log(self, name: str) -> Path:
        return self.installation.folder / "server.log"

    def folders(self) -> list[Path]:
        return [self.installation.folder]


class Services:
    """A cluster: several processes of every service, Postgres, and three brokers or none."""

    def __init__(
        self,
        folder: Path,
        *,
        bus: Bus = "postgres",
        counts: Counts | None = None,
        lease_s: float = 3.0,
        env: Mapping[str, str] | None = None,
        dsn: str | None = None,
        bootstrap: str | None = None,
    ) -> None:
        """`dsn` and `bootstrap` name proxies in front of the real ones, for harnesses that cut lines."""
        self.lease_s = lease_s
        self.can = frozenset({"webhook", "scheduler", "secrets"} | ({"kafka"} if bus == "kafka" else set()))
        self.told = {"LEVADA_WORKER_LEASE": f"{lease_s:g}", "LEVADA_LOG_LEVEL": "info", **SECRET, **(env or {})}
        counts = counts or Counts(executor=2, scheduler=2, worker=2, api=2, webhook=1, indexer=1, brokers=3)
        self.cluster = Cluster(folder, bus=bus, counts=counts, env=self.told, dsn=dsn, bootstrap=bootstrap)

    async def __aenter__(self) -> Self:
        await self.cluster.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.cluster.stop()

    @property
    def urls(self) -> list[str]:
        return [process.url for process in self.cluster.of("api")]

    @property
    def webhooks(self) -> list[str]:
        return [process.url for process in self.cluster.of("webhook")]

    @property
    def dsn(self) -> str:
        return self.cluster.dsn

    def names(self, service: str = "") -> list[str]:
        return [name for name, process in self.cluster.processes.items() if service in ("", process.service)]

    def brokers(self) -> list[str]:
        return [name for name, _, _ in self.cluster.backends() if name != POSTGRES]

    def alive(self, name: str) -> bool:
        return self.cluster.processes[name].alive

    async def ready(self, name: str) -> bool:
        async with aiohttp.ClientSession() as session:
            return await self.cluster.processes[name].ready(session)

    def workers(self) -> dict[str, str]:
        return {_worker_name(process.folder / "data"): process.name for process in self.cluster.of("worker")}

    async def kill(self, name: str) -> None:
        await self.cluster.kill(name)

    async def crash_postgres(self) -> None:
        await self.cluster.kill(POSTGRES, signal.SIGQUIT)

    async def freeze(self, name: str) -> None:
        await self.cluster.pause(name)

    async def thaw(self, name: str) -> None:
        await self.cluster.resume(name)

    async def end(self, name: str) -> int | None:
        return await self.cluster.end(name)

    async def start(self, name: str, env: Mapping[str, str] | None = None) -> None:
        await self.cluster.restart(name, env, wait=False)

    async def until_ready(self, seconds: float) -> None:
        await self.cluster.until_ready(seconds=seconds)

    def log(self, name: str) -> Path:
        return self.cluster.processes[name].log

    def folders(self) -> list[Path]:
        return [self.cluster.folder]


def _worker_name(data_dir: Path) -> str:
    """The name that a worker with this data folder gives itself: the same after every restart."""
    place = hashlib.blake2b(str(data_dir.resolve() / "worker").encode(), digest_size=4).hexdigest()
    return f"{socket.gethostname()}-{place}"
