"""A local cluster in the foreground: started with a word about it, flows deployed, up until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator
from pathlib import Path

from levada.cli import checkup, screen
from levada.cli.client import Client, Server
from levada.cli.cluster import status
from levada.cli.cluster.cluster import Cluster
from levada.cli.cluster.settings import START_ORDER
from levada.cli.live_folder import LiveFolder
from levada.runtime import logs
from levada.runtime.clock import SystemClock
from levada.runtime.lifecycle import Lifecycle

FIRST_PORT, PORTS_TRIED = 8080, 20
GRACE_S = 10.0


@contextlib.asynccontextmanager
async def stay(cluster: Cluster, flows: Path | None = None) -> AsyncIterator[asyncio.Task[None]]:
    """Run the cluster while the context lasts and yield what ends at Ctrl-C; then the context must be left.

    The folder of flows is deployed before, and live while it lasts.
    """
    logs.configure("text", "error", {"levada.cli.cluster": "error"})  # what happens to processes, `status` tells
    screen.note(f"starting {_of(cluster)} in {cluster.folder}")
    lifecycle = Lifecycle(SystemClock(), GRACE_S, on_stopping=lambda _: screen.note("stopping"))
    async with cluster, Client(Server(cluster.api_url)) as client:
        status.announce(cluster)
        if flows is not None:
            live, stop = LiveFolder(flows, client), asyncio.Event()
            deployed, wrong = await live.deploy_all()
            screen.note(f"  flows    {deployed} live from {flows}" + (f", {wrong} files with errors" if wrong else ""))
            lifecycle.add("live-folder", functools.partial(live.watch, stop), stop=functools.partial(_set, stop))
        lifecycle.add("status", functools.partial(status.follow, cluster))
        life = asyncio.create_task(lifecycle.run(), name="lifecycle")
        try:
            yield life
        finally:
            lifecycle.request_stop("done")
            await asyncio.wait([life])
    _tell_bad_ends(cluster)
    life.result()


def free_port() -> int:
    """Return the first free port from 8080 on."""
    for port in range(FIRST_PORT, FIRST_PORT + 2 * PORTS_TRIED, 2):
        with contextlib.suppress(OSError):
            return checkup.free("127.0.0.1", port)
    return FIRST_PORT


def _of(cluster: Cluster) -> str:
    parts = [f"{cluster.counts.of(service)} {service}" for service in START_ORDER if cluster.counts.of(service)]
    if cluster.bus == "kafka":
        parts.append(f"{cluster.counts.brokers} Kafka broker{'s' if cluster.counts.brokers != 1 else ''}")
    return ", ".join(parts)


def _tell_bad_ends(cluster: Cluster) -> None:
    """Say which service did not stop as it should."""
    for name, code in cluster.last_exit_codes.items():
        if code:
            screen.note(f"{name} {status.ended_by(code)}; its log: {cluster.folder / name / 'log'}")


async def _set(event: asyncio.Event) -> None:
    event.set()
