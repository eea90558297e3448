"""The worker gateway in this process on a loopback port, and a worker's end of it, for tests of what goes between them."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

from worlds import PARTITIONS, MovableClock, World

from levada.files.port import Files
from levada.model.jobs import Claim, Grant, Held
from levada.runtime.clock import Clock, SystemClock
from levada.runtime.config import Config
from levada.runtime.config.tree import Bus, Database, Worker
from levada.runtime.platform import Platform
from levada_api import table
from levada_api.gateway.gateway import Gateway
from levada_api.main import compose
from levada_api.server import Application, Listening, listen
from levada_worker.gateway.connection import Gateways
from levada_worker.gateway.files import HttpFiles
from levada_worker.gateway.jobs import Claims, HttpJobs

HELD = Held("e1", "t1", 1, "token")


async def served(platform: Platform, gateway: type[Gateway] = Gateway) -> Listening:
    """Serve the API of a platform on a free port."""
    api = compose(platform)
    api = dataclasses.replace(api, gateway=gateway.of(platform, api.gate))
    return await listen(Application(api, table.router(), api.gate), "127.0.0.1", 0)


class AnyClaim:
    """A lease reader that finds every claim good."""

    looks = 0

    async def grants(self, held: Sequence[Held]) -> list[Grant | None]:
        return [
            Grant(held=one, tenant="main", namespace="company.team", flow_id="f", lease="claimed", left_us=2**62)
            for one in held
        ]


class EverythingGoes(Gateway):
    """Files without the limits of a task, so that the port can be tested as such."""

    def files(self, grant: Grant) -> Files:
        return self.platform.files


@asynccontextmanager
async def files_over_http(clock: Clock | None = None, files: Files | None = None) -> AsyncIterator[Files]:
    """`HttpFiles` over a gateway, by default over files in memory."""
    clock = clock or SystemClock()
    platform = Platform.in_memory(clock, Config())
    if files is not None:
        platform.files = files
    platform.claims = AnyClaim()
    server = await served(platform, EverythingGoes)
    gateways = Gateways([server.url], None, clock, worker="w")
    try:
        yield HttpFiles(gateways, HELD)
    finally:
        await gateways.close()
        await server.close()
        await platform.close()


class JobsOverHttp:
    """`Jobs` through the gateway; what only the platform's side can do goes to the queue behind it."""

    def __init__(self, far: HttpJobs, near: Any) -> None:
        self._far = far
        self._near = near
        self.renew = far.renew
        self.cancelled = far.cancelled
        self.report = far.report
        self.expire: Callable[[int], Any] = near.expire
        self.routes, self.stranded = near.routes, near.stranded
        self.refuse, self.reroute = near.refuse, near.reroute
        self.notify: Callable[[], None] = near.notify
        self.grants = near.grants

    async def claim(
        self, worker: str, queues: Sequence[str], limit: int, *, timeout_s: float, tags: Collection[str] = ()
    ) -> list[Claim]:
        return await self._far.claim(worker, queues, limit, timeout_s=timeout_s, tags=tags)

    async def close(self) -> None:
        """Closed by the world."""


async def gateway_world(dsn: str, clock: MovableClock | None = None) -> World:
    """Adapters as a worker elsewhere has them: jobs over HTTP, the rest as the platform behind the gateway has it."""
    clock = clock or MovableClock()
    config = Config(
        database=Database(url=dsn, pool_size=4),
        bus=Bus(partitions=PARTITIONS, poll_interval=0.1),
        worker=Worker(lease=10),
    )
    platform = await Platform.open(config, clock)
    server = await served(platform)
    gateways = Gateways([server.url], None, clock, worker="w")
    closing: list[Callable[[], Any]] = [platform.close, server.close, gateways.close]
    world = World(
        clock=clock,
        bus=platform.bus,
        jobs=JobsOverHttp(HttpJobs(gateways, Claims()), platform.jobs),
        executions=platform.executions,
        flows=platform.flows,
        queries=platform.queries,
        logs=platform.logs,
        metrics=platform.metrics,
        kv=platform.kv,
        members=platform.members,
        ingress=platform.ingress,
        accepting=None,
        neighbour=lambda: None,
        database=platform.database,
        closing=closing,
    )

    async def neighbour() -> World:
        other = await gateway_world(dsn, clock)
        closing.append(other.close)
        return other

    world.neighbour = neighbour
    return world
