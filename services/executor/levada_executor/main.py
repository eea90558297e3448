"""The executor service: the loop over commands, the timers, the leases, and the hourly housekeeping.

`run` is the service on a platform that somebody else opened (standalone), `main` a process of its own.
"""

import asyncio
import functools
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

from levada import engine, plugins
from levada.bus.port import COMMANDS
from levada.flowfile.cache import FlowCache
from levada.model.errors import Transient
from levada.runtime import readiness, sealing, workers
from levada.runtime.accepting import AcceptedCommands
from levada.runtime.clock import Clock
from levada.runtime.failpoints import failpoint
from levada.runtime.lifecycle import pause
from levada.runtime.partitions import Partitions
from levada.runtime.platform import Platform
from levada.runtime.published_lag import PublishedLag
from levada.runtime.service import serve
from levada_executor.deserted import Deserted
from levada_executor.executor import Executor
from levada_executor.flows import Flows
from levada_executor.reconcile import Reconciler
from levada_executor.timers import LeaseLoop, TimerLoop

log = logging.getLogger("levada.executor")

SERVICE = "executor"
HOUSEKEEPING_S = 3600.0
HOUSEKEEPING_LOOK_S = 60.0
RESTART_PAUSE_S = 0.5


def environment(platform: Platform) -> engine.Environment:
    """What expressions see of this installation, and the limits of the engine."""
    config = platform.config
    kestra = {"url": config.server.url, "environment": {"name": config.environment.name}}
    return engine.Environment(
        globals=dict(config.variables.globals),
        envs=dict(platform.envs),
        kestra={key: value for key, value in kestra.items() if value},
        decrypt=sealing.opener(platform.encryption_key),
        max_iterations=config.limits.iterations,
        output_limit_bytes=config.limits.output,
        kill_deadline_us=int((config.worker.kill_grace + 20) * 1_000_000),
    )


class Parts:
    """The parts of the service over a platform."""

    def __init__(self, platform: Platform) -> None:
        config, clock = platform.config, platform.clock
        self.platform = platform
        self.partitions = Partitions(
            platform.members,
            service=SERVICE,
            name=_name(clock),
            topic=COMMANDS,
            partitions=platform.bus.partitions,
            clock=clock,
            lease_s=config.executor.lease,
            info=self._info,
        )
        self.executor = Executor(
            store=platform.executions,
            bus=platform.bus,
            flows=Flows(FlowCache(platform.flows, plugins.discover(), latest_s=0.0)),
            hub=platform.hub,
            clock=clock,
            environment=environment(platform),
            assignment=self.partitions,
            ingress=platform.ingress,
            changes=platform.changes,
            wake_workers=platform.notify_jobs,
            wake_timers=lambda due: self.timers.wake(due),
            failpoint=failpoint,
            max_records=config.executor.batch_records,
            max_bytes=config.executor.batch_bytes,
        )
        self.timers = TimerLoop(platform.executions, platform.commands, clock, lambda: self.executor.owned)
        self.leases = LeaseLoop(platform.leases, clock, config.worker.lease / 3, self.leads)
        self.deserted = Deserted(
            platform.stranded,
            platform.commands,
            platform.log_sink,
            clock,
            workers=functools.partial(workers.known, platform),
            leads=self.leads,
            wake_workers=platform.notify_jobs,
            patience_s=config.worker.lease,
        )
        self.reconciler: Reconciler | None = None
        if platform.ingress is not None and isinstance(platform.commands, AcceptedCommands):
            self.reconciler = Reconciler(
                platform.ingress, platform.bus, platform.commands, clock, lambda: self.executor.positions
            )

    def leads(self) -> bool:
        """Whether this executor does what one of them should do: the one with the first partition."""
        return 0 in self.executor.owned

    def _info(self) -> dict[str, Any]:
        return {"version": version("levada"), "partitions": sorted(self.executor.owned)}

    async def assigned(self) -> dict[str, Any]:
        """Health check: this executor has its share of the partitions."""
        owned = len(self.executor.owned)
        missing = self.partitions.lacks(self.executor.owned)
        if missing:
            raise Transient(f"{owned} partitions are owned and {missing} more are to be taken")
        return {"partitions": owned}


async def run(platform: Platform, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises Defect."""
    parts = Parts(platform)
    readiness.require_bus(platform)
    platform.health.register("partitions", parts.assigned)
    platform.health.register("caught-up", readiness.CaughtUp(platform.bus, COMMANDS, lambda: parts.executor.positions))
    loops: list[Callable[[asyncio.Event], Awaitable[None]]] = [
        parts.executor.run,
        parts.timers.run,
        parts.leases.run,
        parts.deserted.run,
        functools.partial(_keep_house, platform, parts.leads),
    ]
    if parts.reconciler is not None:
        loops.append(parts.reconciler.run)
    if platform.offsets is not None:
        published = PublishedLag(platform.offsets, SERVICE, lambda: {COMMANDS: parts.executor.positions})
        loops.append(published.run)
    beating = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        beats = group.create_task(parts.partitions.run(beating))
        work = [group.create_task(_supervised(loop, stop)) for loop in loops]
        await asyncio.wait(work)
        beating.set()
        await beats
    await _leave(parts.partitions)


async def _leave(partitions: Partitions) -> None:
    """Be gone for the others at once; if that can not be said, the lease says it."""
    try:
        await partitions.leave()
    except Transient as error:
        log.info("the others will find out by themselves that this executor is gone: %s", error)


def _name(clock: Clock) -> str:
    """Return a name that no other process has, nor had."""
    return f"{socket.gethostname()}/{os.getpid()}/{clock.random_bytes(4).hex()}"


async def _supervised(part: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event) -> None:
    """Run a part again when something outside was away; a defect ends the whole service."""
    while not stop.is_set():
        try:
            await part(stop)
        except Transient as error:
            log.warning("starting over after %s", error)
            await asyncio.sleep(RESTART_PAUSE_S)


async def _keep_house(platform: Platform, leads: Callable[[], bool], stop: asyncio.Event) -> None:
    """About once an hour, by the executor whose turn it is; it looks every minute whether that has become itself."""
    last = -HOUSEKEEPING_S
    while not stop.is_set():
        if leads() and platform.clock.monotonic() - last >= HOUSEKEEPING_S:
            await platform.keep_house()
            last = platform.clock.monotonic()
        await pause(stop, HOUSEKEEPING_LOOK_S)


def main() -> None:
    """Entry point of `levada serve executor`."""
    serve(SERVICE, run)
