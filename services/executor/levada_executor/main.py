"""The executor service: the loop over commands, the timers, the leases, and the hourly housekeeping.

`run` is the service on a platform that somebody else opened (standalone), `main` a process of its own.
"""

import asyncio
import functools
import logging
import os
import socket
from collections.abc import Awaitable, Callable

from levada import engine, plugins
from levada.flowfile.cache import FlowCache
from levada.model.errors import Transient
from levada.runtime import logs, sealing
from levada.runtime.clock import SystemClock
from levada.runtime.config import load
from levada.runtime.failpoints import failpoint
from levada.runtime.lifecycle import Lifecycle, run_process
from levada.runtime.platform import Platform
from levada_executor.executor import Executor
from levada_executor.flows import Flows
from levada_executor.timers import LeaseLoop, TimerLoop

log = logging.getLogger("levada.executor")

HOUSEKEEPING_S = 3600.0
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


def compose(platform: Platform) -> tuple[Executor, TimerLoop, LeaseLoop]:
    """Make the parts of the service over a platform."""
    timers = TimerLoop(platform.executions, platform.bus, platform.clock)
    executor = Executor(
        store=platform.executions,
        bus=platform.bus,
        flows=Flows(FlowCache(platform.flows, plugins.discover(), latest_s=0.0)),
        hub=platform.hub,
        clock=platform.clock,
        environment=environment(platform),
        owner=f"{socket.gethostname()}/{os.getpid()}",
        wake_workers=platform.notify_jobs,
        wake_timers=timers.wake,
        failpoint=failpoint,
        max_records=platform.config.executor.batch_records,
        max_bytes=platform.config.executor.batch_bytes,
    )
    return executor, timers, LeaseLoop(platform.leases, platform.clock, platform.config.worker.lease / 3)


async def run(platform: Platform, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises Defect."""
    executor, timers, leases = compose(platform)
    parts: list[Callable[[asyncio.Event], Awaitable[None]]] = [
        executor.run,
        timers.run,
        leases.run,
        functools.partial(_keep_house, platform),
    ]
    async with asyncio.TaskGroup() as group:
        for part in parts:
            group.create_task(_supervised(part, stop))


async def _supervised(part: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event) -> None:
    """Run a part again when something outside was away; a defect ends the whole service."""
    while not stop.is_set():
        try:
            await part(stop)
        except Transient as error:
            log.warning("starting over after %s", error)
            await asyncio.sleep(RESTART_PAUSE_S)


async def _keep_house(platform: Platform, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await platform.keep_house()
        try:
            await asyncio.wait_for(stop.wait(), HOUSEKEEPING_S)
        except TimeoutError:
            continue


async def _serve() -> None:
    loaded = load()
    config = loaded.config
    logs.configure(config.log.format, config.log.level, config.log.levels)
    clock = SystemClock()
    platform = await Platform.open(loaded, clock, name="levada-executor")
    try:
        stop = asyncio.Event()
        lifecycle = Lifecycle(clock, config.server.shutdown_grace)

        async def stopping() -> None:
            stop.set()

        lifecycle.add("executor", functools.partial(run, platform, stop), stop=stopping)
        await lifecycle.run()
    finally:
        await platform.close()


def main() -> None:
    run_process(_serve)
