"""The api service: composes the API over a platform, listens, and stops in order.

`run` is the service on a platform that somebody else opened (standalone), `main` a process of its own.
"""

import asyncio
import logging

from levada import plugins
from levada.engine import Environment
from levada.flowfile import FlowCache
from levada.model.errors import UserError
from levada.runtime import management
from levada.runtime.auditing import AuditTrail
from levada.runtime.installation_metrics import InstallationMetrics
from levada.runtime.platform import Platform
from levada.runtime.service import serve
from levada.sdk.registry import Registry
from levada_api import auth, table
from levada_api.context import Api
from levada_api.gateway.gateway import Gateway
from levada_api.server import Application, Listening, listen

log = logging.getLogger("levada.api")


def compose(platform: Platform, registry: Registry | None = None) -> Api:
    """Make what the handlers need."""
    config = platform.config
    registry = registry if registry is not None else plugins.discover()
    gate = auth.Gate.of(config)
    return Api(
        platform=platform,
        config=config,
        registry=registry,
        flows=FlowCache(platform.flows, registry),
        gate=gate,
        gateway=Gateway.of(platform, gate),
        health=platform.health,
        environment=Environment(globals=dict(config.variables.globals), envs=dict(platform.envs)),
        started=platform.clock.now_us(),
        trail=AuditTrail(platform.audit_sink, platform.clock),
    )


async def start(api: Api) -> list[Listening | management.Listening]:
    """Listen on the API's port and, unless somebody does already, on the management port.

    Raises UserError when the API's port is taken, OSError when the other is.
    """
    host = auth.listen_host(api.config, api.gate)
    try:
        main_port = await listen(Application(api, table.router(), api.gate), host, api.config.port)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host}:{api.config.port}: {error.strerror or error}; stop what listens there, or set port"
        ) from error
    if api.platform.managed:
        log.info("the API listens on %s", main_port.url)
        return [main_port]
    try:
        other = await management.serve(api.config, api.health, host=host)
    except BaseException:
        await main_port.close()
        raise
    log.info("the API listens on %s, health and metrics on %s", main_port.url, other.url)
    return [main_port, other]


async def run(platform: Platform, stop: asyncio.Event) -> None:
    """Serve until `stop` is set."""
    api = compose(platform)
    platform.follow_changes()
    listening = await start(api)
    forget = InstallationMetrics(platform).watch()
    try:
        await stop.wait()
        api.health.drain("stopping")
    finally:
        forget()
        api.streams.stop()
        for each in listening:
            await each.close()
        await api.trail.close()


def main() -> None:
    """Entry point of `levada serve api`."""
    serve("api", run)
