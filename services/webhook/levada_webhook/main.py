"""Where a webhook service is put together.

It is the one service that faces the internet, so it has nothing but its one address: health and metrics are on the
management port. Start as many as the traffic needs; they share nothing but Postgres and the bus.
"""

from __future__ import annotations

import asyncio
import logging

from levada import plugins
from levada.flowfile import FlowCache
from levada.model.commands import StartExecution
from levada.runtime.auditing import AuditTrail
from levada.runtime.config import Config
from levada.runtime.platform import Platform
from levada.runtime.service import serve
from levada.runtime.starting import Starter, environment_of
from levada.runtime.webhooks import Webhooks
from levada_webhook.server import Door, listen

log = logging.getLogger("levada.webhook")


def compose(platform: Platform, trail: AuditTrail) -> Door:
    """Make the door of a platform."""
    clock = platform.clock

    async def send(command: StartExecution) -> None:
        await platform.commands.send([command])

    hooks = Webhooks(
        starter=Starter(
            clock=clock,
            environment=environment_of(platform.config, platform.envs),
            secrets=platform.secrets,
            kv=platform.kv,
            encryption_key=platform.encryption_key,
        ),
        flows=FlowCache(platform.flows, plugins.discover()),
        deliveries=platform.deliveries,
        queries=platform.queries,
        hub=platform.hub,
        send=send,
        address=lambda: _address(platform.config),
    )
    return Door(hooks, platform.config, clock, trail)


def _address(config: Config) -> str:
    """Return where people reach the UI: with several services that is nowhere here, so `server.url` should say."""
    return (config.server.url or f"http://{config.host}:{config.port}").rstrip("/")


async def run(platform: Platform, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    trail = AuditTrail(platform.audit_sink, platform.clock)
    door = compose(platform, trail)
    platform.follow_changes()
    listening = await listen(door, platform.config)
    log.info("webhooks are received on %s", listening.url)
    try:
        await stop.wait()
    finally:
        door.stopping = True
        await listening.close()
        await trail.close()


def main() -> None:
    """Entry point of `levada serve webhook`."""
    serve("webhook", run)
