"""A service in a process of its own: what all of them do around their work.

From its first moment the process answers health checks; then it opens the platform, and while database or bus are away, not
migrated or not to be reached with these credentials, it says so, is not ready, and tries again: nobody has to restart it
when the cause is gone. Once its work runs, SIGTERM makes it unready and asks it to end; what it was doing may finish within
`server.shutdown_grace`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from levada.model.errors import Defect, LevadaError, Transient, UserError
from levada.runtime import logs, management, readiness
from levada.runtime.clock import Clock, SystemClock
from levada.runtime.config import Config, Loaded, load
from levada.runtime.health import Health
from levada.runtime.lifecycle import Backoff, Lifecycle, pause, run_process
from levada.runtime.observation import observed
from levada.runtime.platform import Platform

log = logging.getLogger(__name__)

OPENING = Backoff(first_s=0.2, longest_s=5.0)

Run = Callable[[Platform, asyncio.Event], Awaitable[None]]


def serve(name: str, run: Run) -> None:
    """Run a service as this process, until it is told to stop: the whole of a service's `main`.

    Raises UserError for a configuration that can not be, and what the service raised if that ended it.
    """
    run_process(lambda: _serve(name, run, load()))


async def _serve(name: str, run: Run, loaded: Loaded) -> None:
    config = _checked(name, loaded.config)
    logs.configure(config.log.format, config.log.level, config.log.levels, service=name)
    clock = SystemClock()
    health = Health(clock)
    listening = await _listen(config, health)
    stop = asyncio.Event()
    service = _Service(name, run, loaded, clock, health, stop)

    async def stopping() -> None:
        stop.set()

    try:
        lifecycle = Lifecycle(clock, config.server.shutdown_grace, on_stopping=health.drain)
        with observed(config, clock, name, lifecycle):
            lifecycle.add(name, service.run, stop=stopping)
            await lifecycle.run()
    finally:
        await listening.close()


def _checked(name: str, config: Config) -> Config:
    if config.embedded_database:
        raise UserError(
            f"a {name} in a process of its own needs a database that others reach as well: set database.url "
            "(LEVADA_DATABASE_URL); `levada standalone` runs everything in one process with a database of its own"
        )
    return config


async def _listen(config: Config, health: Health) -> management.Listening:
    try:
        listening = await management.serve(config, health)
    except OSError as error:
        raise UserError(
            f"cannot listen on {config.host}:{config.management_port} for health and metrics: "
            f"{error.strerror or error}; stop what listens there, or set management_port"
        ) from error
    log.info("health and metrics are at %s", listening.url)
    return listening


class _Service:
    """Opens the platform, again and again while it can not be, and runs the service on it."""

    def __init__(self, name: str, run: Run, loaded: Loaded, clock: Clock, health: Health, stop: asyncio.Event) -> None:
        self._name = name
        self._run = run
        self._loaded = loaded
        self._clock = clock
        self._health = health
        self._stop = stop
        self._trouble: str | None = "the service is starting"
        health.register("platform", self._check)

    async def run(self) -> None:
        platform = await self._opened()
        if platform is None:
            return
        try:
            await self._run(platform, self._stop)
        finally:
            await platform.close()

    async def _opened(self) -> Platform | None:
        """Return the platform as soon as it can be opened; None when told to stop before."""
        failures = 0
        while not self._stop.is_set():
            try:
                platform = await Platform.open(
                    self._loaded, self._clock, name=f"levada-{self._name}", migrates=False, health=self._health
                )
            except Defect:
                raise
            except (Transient, UserError) as error:
                failures += 1
                self._tell(error, failures)
                await pause(self._stop, OPENING.pause_s(failures, self._clock.random()))
            else:
                self._trouble = None
                readiness.register(platform)
                log.info("%s is connected", self._name)
                return platform
        return None

    def _tell(self, error: LevadaError, failures: int) -> None:
        news = str(error) != self._trouble
        self._trouble = str(error)
        level = logging.WARNING if news or failures % 10 == 0 else logging.DEBUG
        log.log(level, "the %s can not start yet, trying again: %s", self._name, error)

    async def _check(self) -> Mapping[str, Any] | None:
        if self._trouble is not None:
            raise Transient(self._trouble)
        return None
