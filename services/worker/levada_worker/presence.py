"""Saying that this worker is there: its name, what it serves, how busy it is. Others read it, nothing here depends on it.

`levada why` tells from it whether anybody serves a queue, and the metrics of queues count from it. A worker that stops
says so; one that dies is forgotten after a while.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any

from levada.model.errors import Transient
from levada_worker.worker import Worker

log = logging.getLogger("levada.worker")

EVERY_S = 5.0

Say = Callable[[Mapping[str, Any]], Awaitable[object]]


def info(worker: Worker) -> dict[str, Any]:
    """What the others, and people, may know of this worker."""
    config = worker.config
    return {
        "version": version("levada"),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "slots": config.slots,
        "running": worker.running,
        "queues": list(config.queues),
        "tags": list(config.tags),
        "draining": worker.draining,
    }


async def beat(worker: Worker, say: Say) -> None:
    """Say it again and again, until cancelled."""
    while True:
        try:
            await say(info(worker))
        except Transient as error:
            log.debug("nobody hears that this worker is there: %s", error)
        await asyncio.sleep(EVERY_S)


async def leave(go: Callable[[], Awaitable[object]], timeout_s: float = 2.0) -> None:
    """Say that it is gone; if that cannot be said, the others find out."""
    try:
        async with asyncio.timeout(timeout_s):
            await go()
    except (Transient, TimeoutError) as error:
        log.debug("nobody hears that this worker is gone: %s", error)
