"""All services in one process: what `levada dev`, `levada standalone`, `levada run` without a server and the examples share.

The services are found by entry point (group `levada.embedded`), since the command line stands below them and imports none.
Each is `run(platform, stop)`: it works on the one `Platform` of this process until the event is set, as a part of the
process's `Lifecycle`, which starts it again when something outside was away and ends the process when it is broken.

Order matters twice. On the way up the port is looked at before anything else, because a person who mistyped it should
not wait for a database. On the way down the API goes first, so that nothing new is accepted, then the others, and the
platform with the database last.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

from levada.cli import checkup, screen
from levada.cli.client import Client, Server
from levada.cli.connection import forget_address, reachable, record_address
from levada.cli.failures import CannotStart
from levada.cli.live_folder import LiveFolder
from levada.model.errors import LevadaError
from levada.runtime import logs, readiness
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config, Loaded, is_loopback
from levada.runtime.config.layers import DEFAULT
from levada.runtime.lifecycle import Lifecycle
from levada.runtime.observation import observed
from levada.runtime.platform import Platform

GROUP = "levada.embedded"
ORDER = ("executor", "worker", "api")
"""Services in the order of their start; others come between worker and api."""

READY_TIMEOUT_S = 60.0
READY_POLL_S = 0.02


@dataclasses.dataclass(frozen=True, slots=True)
class Running:
    """A Levada in this process. `life` ends when it does, with the error that was the reason if there was one."""

    url: str
    config: Config
    platform: Platform
    lifecycle: Lifecycle
    life: asyncio.Task[None]

    @property
    def server(self) -> Server:
        """How this very process is called over HTTP."""
        basic = self.config.basic_auth
        if self.config.auth.mode != "basic":
            return Server(url=self.url)
        return Server(url=self.url, username=basic.username, password=basic.password)


@contextlib.asynccontextmanager
async def embedded(loaded: Loaded, *, signals: bool = False) -> AsyncIterator[Running]:
    """Run all services while the context lasts; with `signals`, SIGINT and SIGTERM end them in order.

    Raises CannotStart, or what the embedded Postgres says.
    """
    config = with_ports(loaded)
    logs.configure(config.log.format, config.log.level, config.log.levels, service="standalone")
    clock = SystemClock()
    try:
        platform = await Platform.open(dataclasses.replace(loaded, config=config), clock)
    except LevadaError as error:
        raise CannotStart(str(error)) from error
    except OSError as error:
        raise CannotStart(
            f"cannot use the data folder {config.data_dir.resolve()}: {error.strerror or error}"
        ) from error
    told = (lambda _: screen.note("stopping")) if signals else None
    lifecycle = Lifecycle(clock, config.server.shutdown_grace, on_stopping=told)
    observing = contextlib.ExitStack()
    observing.enter_context(observed(config, clock, "standalone", lifecycle))
    readiness.register(platform)
    for entry in _services():
        _add(lifecycle, entry, platform)
    life = asyncio.create_task(lifecycle.run(handle_signals=signals), name="lifecycle")
    running = Running(f"http://{reachable(_listening(config))}:{config.port}", config, platform, lifecycle, life)
    try:
        await _until_ready(running)
        record_address(config.data_dir, running.url)
        yield running
    finally:
        forget_address(config.data_dir)
        lifecycle.request_stop("done")
        await asyncio.wait([life])
        await platform.close()
        observing.close()
    life.result()


async def serve(loaded: Loaded, *, prune: bool = False, with_kafka: bool = False) -> None:
    """Run until SIGINT or SIGTERM; deploys and watches the folder of flows if one is configured.

    `with_kafka`: over a Kafka of our own instead of the bus in Postgres.
    """
    folder = loaded.config.flows
    if folder is not None and not folder.is_dir():
        raise CannotStart(f"--flows {folder}: there is no such folder")
    if not with_kafka:
        await _serve(loaded, folder, prune)
        return
    from levada.cli import beside

    async with beside.kafka(dataclasses.replace(loaded, config=with_ports(loaded))) as using_it:
        await _serve(using_it, folder, prune)


async def _serve(loaded: Loaded, folder: Path | None, prune: bool) -> None:
    async with embedded(loaded, signals=True) as running, Client(running.server) as client:
        deployed = None
        if folder is not None:
            live, stop = LiveFolder(folder, client, prune=prune), asyncio.Event()
            deployed = await live.deploy_all()
            running.lifecycle.add("live-folder", functools.partial(live.watch, stop), stop=_setter(stop))
        announce(running, folder, deployed)
        await asyncio.wait([running.life])


def announce(running: Running, folder: Path | None = None, deployed: tuple[int, int] | None = None) -> None:
    """Print where it is and what it has."""
    config = running.config
    signed_in = running.server.username
    database = "embedded PostgreSQL" if config.embedded_database else "PostgreSQL"
    lines = {
        "address": running.url,
        "data": f"{config.data_dir} ({database})",
        "sign-in": f"user {signed_in}" if signed_in else "no sign-in: loopback only",
    }
    if config.kafka.bootstrap_servers:
        lines["bus"] = f"Kafka at {','.join(config.kafka.bootstrap_servers)}"
    if folder is not None and deployed is not None:
        flows, wrong = deployed
        lines["flows"] = f"{flows} live from {folder}" + (f", {wrong} files with errors" if wrong else "")
    screen.note(f"Levada {version('levada')} is ready; Ctrl-C stops it")
    for name, text in lines.items():
        screen.note(f"  {name.ljust(8)} {text}")


def with_ports(loaded: Loaded) -> Config:
    """Return the configuration with port numbers that are free now. Raises CannotStart for one that is taken.

    A management port that nobody asked for gives way: its answers are on the main port as well.
    """
    config, host = loaded.config, _listening(loaded.config)
    port = _free(host, config.port, "--port")
    try:
        management = _free(host, config.management_port, "management_port")
    except CannotStart:
        if loaded.sources["management_port"] != DEFAULT:
            raise
        management = _free(host, 0, "management_port")
    return dataclasses.replace(config, port=port, management_port=management)


def is_private(config: Config) -> bool:
    """Whether only this machine can reach the server, so that it may do without sign-in."""
    return is_loopback(config.host)


def _listening(config: Config) -> str:
    """Return the address that the API will listen on: loopback while nobody could sign in."""
    account = config.auth.mode == "basic" and config.basic_auth.username
    return config.host if account or is_loopback(config.host) else "127.0.0.1"


def _free(host: str, port: int, option: str) -> int:
    try:
        return checkup.free(host, port)
    except OSError as error:
        raise CannotStart(
            f"cannot listen on {host}:{port}: {error.strerror or error}. "
            f"Stop what listens there, or choose another {option}"
        ) from error


def _services() -> list[EntryPoint]:
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    missing = [name for name in ORDER if name not in found]
    if missing:
        raise CannotStart(f"not installed: {', '.join(missing)} (entry point group {GROUP}); install Levada again")
    first = [name for name in ORDER if name != "api"]
    return [found[name] for name in (*first, *sorted(found.keys() - set(ORDER)), "api")]


def _add(lifecycle: Lifecycle, entry: EntryPoint, platform: Platform) -> None:
    stop = asyncio.Event()
    lifecycle.add(entry.name, functools.partial(entry.load(), platform, stop), stop=_setter(stop))


def _setter(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def set_event() -> None:
        event.set()

    return set_event


async def _until_ready(running: Running) -> None:
    """Wait until the API answers. Raises what a service failed with meanwhile."""
    async with Client(running.server) as client:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                while (await client.health() or {}).get("status") != "UP":
                    if running.life.done():
                        running.life.result()
                        raise CannotStart("stopped before it was ready")
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError as error:
            raise CannotStart(f"the API did not answer at {running.url} within {READY_TIMEOUT_S:.0f} s") from error
