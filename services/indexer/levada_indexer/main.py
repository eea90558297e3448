"""Where an indexer is put together.

`run` is the service on a platform that somebody else opened (standalone), `main` a process of its own. Where there is only
one process, lines and records go straight into their tables; then only the executions are counted here, after whatever a
former installation with several processes has left on the bus is in the tables.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any

from levada.bus.port import CHANGES, LOGS
from levada.model.errors import Transient
from levada.runtime import readiness
from levada.runtime.clock import Clock
from levada.runtime.failpoints import failpoint
from levada.runtime.lifecycle import pause
from levada.runtime.old_bodies import OldBodies
from levada.runtime.partitions import Partitions
from levada.runtime.platform import Platform
from levada.runtime.published_lag import PublishedLag
from levada.runtime.service import serve
from levada_indexer.consumer import Consumer
from levada_indexer.reading import READERS
from levada_indexer.rollups import Rollups

log = logging.getLogger("levada.indexer")

SERVICE = "indexer"
RESTART_PAUSE_S = 0.5
#: How often a catching-up indexer looks whether it is through.
LOOK_S = 0.2

Loop = Callable[[asyncio.Event], Awaitable[None]]


class Indexer:
    """One consumer and one share of partitions per topic, all under one name."""

    def __init__(self, platform: Platform) -> None:
        config, clock = platform.config.indexer, platform.clock
        self._name = _name(clock)
        self.shares = {
            topic: Partitions(
                platform.members,
                service=SERVICE,
                name=self._name,
                topic=topic,
                partitions=platform.bus.partitions,
                clock=clock,
                lease_s=config.lease,
                info=self._info,
            )
            for topic in READERS
        }
        self.consumers = {
            topic: Consumer(
                topic,
                bus=platform.bus,
                store=platform.index,
                assignment=share,
                clock=clock,
                batch_entries=config.batch_entries,
                linger_s=config.linger,
                failpoint=failpoint,
            )
            for topic, share in self.shares.items()
        }

    def _info(self) -> dict[str, Any]:
        owned = {topic: sorted(consumer.owned) for topic, consumer in self.consumers.items()}
        return {"version": version("levada"), "partitions": owned}

    def leads(self) -> bool:
        """Whether this indexer does what one of them should do: the one with the first partition of the logs."""
        return 0 in self.consumers[LOGS].owned

    def positions(self) -> dict[str, dict[int, int]]:
        """How far the partitions of each topic are in their tables."""
        return {topic: consumer.positions for topic, consumer in self.consumers.items()}

    async def assigned(self) -> Mapping[str, Any]:
        """Health check: this indexer has its share of the partitions."""
        missing = {topic: share.lacks(self.consumers[topic].owned) for topic, share in self.shares.items()}
        if any(missing.values()):
            raise Transient(f"partitions of {', '.join(t for t, n in missing.items() if n)} are to be taken")
        return {topic: len(consumer.owned) for topic, consumer in self.consumers.items()}

    async def run(self, stop: asyncio.Event) -> None:
        """Read all topics until `stop`, then leave."""
        beating = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            beats = [group.create_task(share.run(beating)) for share in self.shares.values()]
            await asyncio.wait(
                [group.create_task(_supervised(consumer.run, stop)) for consumer in self.consumers.values()]
            )
            beating.set()
            await asyncio.wait(beats)
        try:
            await next(iter(self.shares.values())).leave()
        except Transient as error:
            log.info("the others will find out by themselves that this indexer is gone: %s", error)


async def run(platform: Platform, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises Defect."""
    hub = None if platform.several else platform.hub
    rollups = Rollups(platform.counts, platform.clock, hub, interval_s=platform.config.indexer.counts_interval)
    loops: list[Loop] = [rollups.run]
    indexer: Indexer | None = None
    if platform.several:
        indexer = Indexer(platform)
        readiness.require_bus(platform)
        platform.health.register("indexer", indexer.assigned)
        loops.append(indexer.run)
        if platform.offsets is not None:
            loops.append(PublishedLag(platform.offsets, SERVICE, indexer.positions).run)
    else:
        loops.append(functools.partial(_catch_up, platform))
    if platform.config.kafka.bootstrap_servers:
        leads = indexer.leads if indexer is not None else (lambda: True)
        loops.append(OldBodies(platform.files, platform.clock, platform.config.kafka.retention, leads).run)
    async with asyncio.TaskGroup() as group:
        for loop in loops:
            group.create_task(_supervised(loop, stop))


async def _catch_up(platform: Platform, stop: asyncio.Event) -> None:
    """Index what is on the bus now, and end: nobody adds to it where there is one process."""
    if not await _behind(platform):
        return
    log.info("indexing what was left on the bus")
    indexer, through = Indexer(platform), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(indexer.run(through))
        while not stop.is_set() and await _behind(platform):
            await pause(stop, LOOK_S)
        through.set()


async def _behind(platform: Platform) -> bool:
    """Whether a topic holds something that is not in its table."""
    for topic in READERS.keys() - {CHANGES}:
        written = await platform.index.positions(topic)
        if any(end > written.get(part, 0) for part, end in (await platform.bus.ends(topic)).items()):
            return True
    return False


async def _supervised(loop: Loop, stop: asyncio.Event) -> None:
    """Run a loop again when something outside was away; a defect ends the whole service."""
    while True:
        try:
            await loop(stop)
        except Transient as error:
            log.warning("starting over after %s", error)
            await asyncio.sleep(RESTART_PAUSE_S)
        else:
            return


def _name(clock: Clock) -> str:
    """Return a name that no other process has, nor had."""
    return f"{socket.gethostname()}/{os.getpid()}/{clock.random_bytes(4).hex()}"


def main() -> None:
    """Entry point of `levada serve indexer`."""
    serve(SERVICE, run)
