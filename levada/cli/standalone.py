"""All services in one process: what `levada dev`, `levada standalone`, `levada run` without a server and the examples share.

The services are found by entry point (group `levada.embedded`), since the command line stands below them and imports none.
Each is `run(platform, stop)`: it works on the one `Platform` of this process until the event is set. When one of them ends
by itself, the others cannot be trusted to make sense without it, so the whole process ends with its error.

Order matters twice. On the way up the port is looked at before anything else, because a person who mistyped it should
not wait for a database. On the way down the services go first and the platform, with the database, last.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Any, TypeVar

from levada.cli import checkup, screen
from levada.cli.client import Client, Server
from levada.cli.connection import forget_address, reachable, record_address
from levada.cli.failures import CannotStart
from levada.cli.live_folder import LiveFolder
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config, Loaded, is_loopback
from levada.runtime.platform import Platform

T = TypeVar("T")

log = logging.getLogger(__name__)

GROUP = "levada.embedded"
READY_TIMEOUT_S = 60.0
READY_POLL_S = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A Levada in this process. `failed` is done when a service ended by itself."""

    url: str
    config: Config
    platform: Platform
    failed: asyncio.Future[None]

    @property
    def server(self) -> Server:
        """How this very process is called over HTTP."""
        basic = self.config.basic_auth if self.config.auth.mode == "basic" else None
        return Server(
            url=self.url, username=basic.username if basic else None, password=basic.password if basic else None
        )


@contextlib.asynccontextmanager
async def embedded(loaded: Loaded) -> AsyncIterator[Running]:
    """Run all services while the context lasts. Raises CannotStart, or what the embedded Postgres says."""
    config = with_ports(loaded.config)
    url = config.server.url or f"http://{reachable(config.host)}:{config.port}"
    stop, failed = asyncio.Event(), asyncio.get_running_loop().create_future()
    async with contextlib.AsyncExitStack() as stack:
        platform = await Platform.open(dataclasses.replace(loaded, config=config), SystemClock())
        stack.push_async_callback(platform.close)
        services = [_start(entry, platform, stop, failed) for entry in _services()]
        stack.push_async_callback(_stop, services, stop, config.server.shutdown_grace)
        running = Running(f"http://{reachable(config.host)}:{config.port}", config, platform, failed)
        await _until_ready(running)
        record_address(config.data_dir, url)
        stack.callback(forget_address, config.data_dir)
        yield running


async def serve(loaded: Loaded, *, prune: bool = False) -> None:
    """Run until SIGINT or SIGTERM; deploys and watches the folder of flows if one is configured."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    folder = loaded.config.flows
    if folder is not None and not folder.is_dir():
        raise CannotStart(f"--flows {folder}: there is no such folder")
    async with embedded(loaded) as running, Client(running.server) as client:
        live = LiveFolder(folder, client, prune=prune) if folder is not None else None
        deployed = await live.deploy_all() if live else None
        announce(running, folder, deployed)
        watching = [asyncio.create_task(live.watch(stop), name="live-folder")] if live else []
        ending = asyncio.create_task(stop.wait(), name="until-signal")
        try:
            await asyncio.wait([ending, running.failed, *watching], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.set()
            screen.note("stopping")
            await asyncio.gather(ending, *watching)
        if running.failed.done():
            running.failed.result()


def announce(running: Running, folder: Path | None = None, deployed: tuple[int, int] | None = None) -> None:
    """Print where it is and what it has."""
    config = running.config
    signed_in = config.auth.mode == "basic" and config.basic_auth.username
    database = "embedded PostgreSQL" if config.embedded_database else "PostgreSQL"
    lines = {
        "address": running.url,
        "data": f"{config.data_dir} ({database})",
        "sign-in": f"user {config.basic_auth.username}" if signed_in else "no sign-in: loopback only",
    }
    if folder is not None and deployed is not None:
        flows, wrong = deployed
        lines["flows"] = f"{flows} live from {folder}" + (f", {wrong} files with errors" if wrong else "")
    screen.note(f"Levada {version('levada')} is ready; Ctrl-C stops it")
    for name, text in lines.items():
        screen.note(f"  {name.ljust(8)} {text}")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on the fastest event loop there is."""
    try:
        import uvloop
    except ModuleNotFoundError:  # not on Windows
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def with_ports(config: Config) -> Config:
    """Return the configuration with port numbers that are free now. Raises CannotStart for one that is taken."""
    return dataclasses.replace(
        config,
        port=_free(config.host, config.port, "--port"),
        management_port=_free(config.host, config.management_port, "management_port"),
    )


def _free(host: str, port: int, option: str) -> int:
    try:
        return checkup.free(host, port)
    except OSError as error:
        raise CannotStart(
            f"cannot listen on {host}:{port}: {error.strerror or error}. Stop what listens there, or choose another {option}"
        ) from error


def _services() -> list[EntryPoint]:
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    if not found:
        raise CannotStart(f"no services are installed: the entry point group {GROUP} is empty; install Levada again")
    return found


def _start(
    entry: EntryPoint, platform: Platform, stop: asyncio.Event, failed: asyncio.Future[None]
) -> asyncio.Task[None]:
    task: asyncio.Task[None] = asyncio.create_task(entry.load()(platform, stop), name=f"service-{entry.name}")

    def ended(done: asyncio.Task[None]) -> None:
        if stop.is_set() or failed.done():
            return
        error = None if done.cancelled() else done.exception()
        log.error("the service %s ended by itself", entry.name, exc_info=error)
        failed.set_exception(CannotStart(f"the service {entry.name} ended by itself: {error or 'without an error'}"))
        failed.exception()  # seen: whoever waits for it gets it all the same

    task.add_done_callback(ended)
    return task


async def _stop(services: list[asyncio.Task[None]], stop: asyncio.Event, grace_s: float) -> None:
    """Let the services end; what does not within the grace period is cancelled and said so."""
    stop.set()
    _, late = await asyncio.wait(services, timeout=grace_s + 5)
    for task in late:
        log.warning("%s did not stop within %.0f s", task.get_name(), grace_s + 5)
        task.cancel()
    for task, result in zip(services, await asyncio.gather(*services, return_exceptions=True), strict=True):
        if isinstance(result, Exception):
            log.error("%s ended with an error", task.get_name(), exc_info=result)


async def _until_ready(running: Running) -> None:
    """Wait until the API answers. Raises what a service failed with meanwhile."""
    async with Client(running.server) as client:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not await client.alive():
                    if running.failed.done():
                        running.failed.result()
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError as error:
            raise CannotStart(f"the API did not answer at {running.url} within {READY_TIMEOUT_S:.0f} s") from error


def is_private(config: Config) -> bool:
    """Whether only this machine can reach the server, so that it may do without sign-in."""
    return is_loopback(config.host)
