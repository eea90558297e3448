"""Where a scheduler is put together.

`run` is the service on a platform that somebody else opened (standalone), `main` a process of its own. Start as many as
you like: one is enough, two survive the loss of one.
"""

from __future__ import annotations

import asyncio
import os
import socket
from datetime import UTC, tzinfo
from importlib.metadata import version
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from levada import plugins
from levada.expr.instants import zone as zone_of
from levada.flowfile import FlowCache
from levada.runtime.clock import Clock
from levada.runtime.platform import Platform
from levada.runtime.service import serve
from levada.runtime.starting import Starter, environment_of
from levada_scheduler.declaring import Declarer
from levada_scheduler.planning import Planner
from levada_scheduler.scheduler import Scheduler, alone
from levada_scheduler.sharing import Sharing

#: Flows are parsed once per revision here, so hardly any need be kept.
FLOWS_KEPT = 50
LOCALTIME = Path("/etc/localtime")


def compose(platform: Platform, sharing: Sharing | None = None) -> Scheduler:
    """Make the scheduler of a platform. Raises UserError for a zone that is none."""
    config, clock = platform.config.scheduler, platform.clock
    starter = Starter(
        clock=clock,
        environment=environment_of(platform.config, platform.envs),
        secrets=platform.secrets,
        kv=platform.kv,
        encryption_key=platform.encryption_key,
    )
    planner = Planner(
        starter,
        zone_of(config.timezone) if config.timezone is not None else local_zone(os.environ),
        recover=config.recover_missed_schedules,
        missed_after_us=int(config.missed_after * 1_000_000),
        catch_up=config.catch_up,
    )
    return Scheduler(
        store=platform.triggers,
        planner=planner,
        declarer=Declarer(platform.triggers, FlowCache(platform.flows, plugins.discover(), size=FLOWS_KEPT), clock),
        send=platform.commands.send,
        clock=clock,
        interval_s=config.interval,
        deliveries=platform.deliveries,
        share=sharing.place if sharing is not None else alone,
    )


async def run(platform: Platform, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    sharing = Sharing(
        platform.members,
        name_of(platform.clock),
        platform.clock,
        platform.config.scheduler.lease,
        {"version": version("levada")},
    )
    scheduler = compose(platform, sharing)
    platform.health.register("schedules", scheduler.looking)
    async with asyncio.TaskGroup() as group:
        group.create_task(sharing.run(stop), name="sharing")
        group.create_task(scheduler.run(stop), name="scheduler")


def name_of(clock: Clock) -> str:
    """Return a name that no other process has, nor had."""
    return f"{socket.gethostname()}/{os.getpid()}/{clock.random_bytes(3).hex()}"


def local_zone(environment: os._Environ[str] | dict[str, str], localtime: Path = LOCALTIME) -> tzinfo:
    """Return the zone of this machine by its name, so that its clocks may change: TZ, else where /etc/localtime points."""
    names = [environment.get("TZ", "").lstrip(":")]
    if localtime.is_symlink():
        names.append(str(localtime.resolve()).partition("zoneinfo/")[2])
    for name in filter(None, names):
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            continue
    return UTC


def main() -> None:
    """Entry point of `levada serve scheduler`."""
    serve("scheduler", run)
