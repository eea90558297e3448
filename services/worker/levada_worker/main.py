"""Where a worker is put together: here inside the process of the platform, in `remote.py` in a process of its own."""

import asyncio
import functools
import shutil
from collections.abc import Mapping
from typing import Any, Protocol

from levada.files.port import Files
from levada.files.scope import ScopedFiles
from levada.jobs.port import Jobs
from levada.model.jobs import Claim
from levada.plugins import discover
from levada.runtime.clock import Clock
from levada.runtime.health import Health
from levada.runtime.scoped import ScopedServices
from levada.sdk import shared
from levada.sdk.context import Services
from levada_worker import presence
from levada_worker.config import configured
from levada_worker.folders import temporary
from levada_worker.logs import LogSink
from levada_worker.worker import Worker

PRESENCE_S = 3 * presence.EVERY_S


class Members(Protocol):
    """The part of `levada.store.port.Members` that a worker needs."""

    async def beat(self, service: str, name: str, lease_s: float, info: Mapping[str, Any]) -> None: ...

    async def leave(self, service: str, name: str) -> None: ...


class Embedding(Protocol):
    """What of the platform (levada/runtime/platform.py) a worker needs; it must not see the database behind it."""

    @property
    def config(self) -> Any: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def health(self) -> Health: ...
    @property
    def jobs(self) -> Jobs: ...
    @property
    def files(self) -> Files: ...
    @property
    def log_sink(self) -> LogSink: ...
    @property
    def members(self) -> Members: ...

    @property
    def encryption_key(self) -> bytes | None: ...

    def services(self, tenant: str) -> Services: ...


async def run(platform: Embedding, stop: asyncio.Event) -> None:
    """Run a worker inside the platform's process until `stop`; being cancelled ends it at once."""
    base = await asyncio.to_thread(temporary, platform.config.worker.temp_dir)
    services = functools.lru_cache(1024)(
        lambda tenant, namespace: ScopedServices(platform.services(tenant), namespace)  # one for many attempts
    )

    def files(claim: Claim) -> Files:
        job = claim.job
        return ScopedFiles(platform.files, job.namespace, job.flow_id, job.execution_id)

    worker = Worker(
        platform.jobs,
        lambda claim: services(claim.job.tenant, claim.job.namespace),
        files,
        discover(),
        platform.clock,
        configured(platform.config, base),
        platform.log_sink,
        encryption_key=platform.encryption_key,
    )
    platform.health.register("worker-disk", worker.space.check)
    name, members = worker.config.name, platform.members
    beating = asyncio.create_task(
        presence.beat(worker, lambda info: members.beat("worker", name, PRESENCE_S, info)), name="worker-presence"
    )
    try:
        await worker.run(stop)
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await presence.leave(lambda: members.leave("worker", name))
        await shared.close_all()  # what plugins keep between runs, such as pools of connections
        shutil.rmtree(base, ignore_errors=True)


def main() -> None:
    """Entry point of `levada serve worker`."""
    from levada_worker import remote

    remote.main()
