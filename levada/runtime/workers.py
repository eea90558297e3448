"""Which workers there are: those that said so lately to a gateway, or the one that runs in this very process.

Where everything is in one process (`levada dev`, `levada standalone`) the worker claims directly and tells nobody that it is
there, so it is known by its settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from levada.model import routes
from levada.runtime.platform import Platform
from levada.store.members import Member


async def known(platform: Platform) -> list[Member]:
    """Return the workers, dead ones that were there lately included (`live` says it). Raises Transient."""
    if platform.several:
        return await platform.members.all("worker")
    config, now = platform.config.worker, platform.clock.now_us()
    info: dict[str, Any] = {"queues": list(config.queues), "tags": list(config.tags), "slots": config.slots}
    return [Member(service="worker", name="of this process", started=now, lease_until=now, live=True, info=info)]


def serve(workers: Iterable[Member], route: str) -> bool:
    """Whether one of them lives and may take attempts of a route."""
    return any(
        worker.live and routes.serves(route, worker.info.get("queues", ()), worker.info.get("tags", ()))
        for worker in workers
    )
