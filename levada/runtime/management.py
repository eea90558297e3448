"""Health and metrics of a process over HTTP: `/health`, `/health/liveness`, `/health/readiness`, `/metrics`.

Every service process listens on its management port from its first moment, before Postgres or Kafka answer, so that
whoever asks gets a reason instead of a refused connection. The port is for machines that are trusted to reach it and asks
for no credentials; health says nothing that helps an attacker. The api answers the same on its own port through `answer`.
It must never need what it reports on: no answer here waits for a database longer than a check or collector may.
"""

from __future__ import annotations

import errno
import functools
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import web

from levada.runtime import metrics, series
from levada.runtime.config import Config
from levada.runtime.health import Health

log = logging.getLogger(__name__)

SHUTDOWN_S = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say: a status of HTTP, a content type, a body."""

    status: int
    content_type: str
    body: bytes

    def response(self) -> web.Response:
        return web.Response(status=self.status, body=self.body, headers={"Content-Type": self.content_type})


async def answer(path: str, health: Health, registry: metrics.Registry = metrics.REGISTRY) -> Answer | None:
    """Return what stands at a path; None where nothing does. Never raises."""
    if path in ("/metrics", "/prometheus"):
        _, document = await health.all()
        metrics.HEALTH.replace(
            {(str(name),): float(each["status"] == "UP") for name, each in document["details"].items()}
        )
        return Answer(200, series.CONTENT_TYPE, await registry.page())
    ask = _questions(health).get(path)
    if ask is None:
        return None
    up, document = await ask()
    return Answer(200 if up else 503, "application/json", orjson.dumps(document, default=str))


def _questions(health: Health) -> dict[str, Callable[[], Awaitable[tuple[bool, dict[str, Any]]]]]:
    return {"/health": health.all, "/health/liveness": health.liveness, "/health/readiness": health.readiness}


@dataclass(frozen=True, slots=True)
class Listening:
    """The server, accepting connections on `host` and `port`."""

    host: str
    port: int
    runner: web.ServerRunner

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    async def close(self) -> None:
        await self.runner.cleanup()


async def serve(config: Config, health: Health, *, host: str | None = None) -> Listening:
    """Listen on `management_port`. The default one gives way to any free port when another Levada of this machine has it.

    Raises OSError when a port that was asked for is taken.
    """
    host = config.host if host is None else host
    port = config.management_port
    try:
        return await listen(health, host, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or port != Config().management_port:
            raise
    log.warning("port %d for health and metrics is taken; any free one is used", port)
    return await listen(health, host, 0)


async def listen(health: Health, host: str, port: int, registry: metrics.Registry = metrics.REGISTRY) -> Listening:
    """Start to answer; port 0 takes a free one. Raises OSError."""
    server = web.Server(functools.partial(_handle, health, registry), access_log=None)
    runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except BaseException:
        await runner.cleanup()
        raise
    return Listening(host, runner.addresses[0][1], runner)


async def _handle(health: Health, registry: metrics.Registry, request: web.BaseRequest) -> web.StreamResponse:
    if request.method not in ("GET", "HEAD"):
        return _refusal(405, f"{request.method} is not allowed here, allowed are GET, HEAD", {"Allow": "GET, HEAD"})
    found = await answer(request.path, health, registry)
    if found is None:
        return _refusal(404, f"there is nothing at {request.path}; there are /health and /metrics")
    return found.response()


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = orjson.dumps({"message": message})
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
