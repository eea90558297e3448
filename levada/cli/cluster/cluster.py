"""A local cluster: what runs, and what a test or a person may do to it.

    async with Cluster(folder, bus="kafka") as cluster:
        ...                                   # cluster.api_url, cluster.webhook_url, cluster.dsn
        await cluster.kill("executor-2")      # or "postgres", or "broker-1"
        await cluster.restart("executor-2")

Nothing is mended unless `keep` asks for it: a harness that kills wants to decide itself what comes back. Postgres is the
exception, it is started again whenever it dies, as its own supervisor does everywhere.

`start` may be called again after `stop`: the folder holds everything, and a cluster on an old folder has its history.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp

from levada.bus.broker import KafkaBroker, KafkaCluster
from levada.cli.cluster import settings
from levada.cli.cluster.balancer import Balancer
from levada.cli.cluster.ports import PortBlock
from levada.cli.cluster.process import LEVADA, Process, launch
from levada.cli.cluster.servers import BROKER, Servers
from levada.cli.cluster.settings import BALANCED, START_ORDER, STOP_ORDER, Bus, Counts, Shared
from levada.cli.failures import BadUsage, CannotStart
from levada.store.embedded import EmbeddedPostgres

READY_TIMEOUT_S = 90.0
STOP_GRACE_S = 40.0
ONCE_TIMEOUT_S = 120.0
LOOK_EVERY_S = 0.25
KEEP_PAUSE_S = 0.5


class Cluster:
    """Every service as processes of its own, on loopback. Use it as `async with`, or `start` and `stop`."""

    def __init__(
        self,
        folder: Path | str,
        *,
        bus: Bus = "postgres",
        counts: Counts | None = None,
        env: Mapping[str, str] | None = None,
        service_env: Mapping[str, Mapping[str, str]] | None = None,
        dsn: str | None = None,
        bootstrap: str | None = None,
        api_port: int | None = None,
        keep: bool = False,
        prefixes: Mapping[str, Sequence[str]] | None = None,
        inherit: Mapping[str, str] | None = None,
    ) -> None:
        """`env` is told to every process and `service_env` to those of a service, over what they are told anyway.

        `dsn` and `bootstrap` name servers that run already, for instance a proxy that can be cut. `keep` starts what died
        again. `prefixes` stand before the command of the processes they name (`ip netns exec …`). `inherit` is the environment
        that everything else comes from, by default ours without `LEVADA_…`.
        """
        self.folder = Path(folder).resolve()
        self.bus: Bus = bus
        self.counts = counts if counts is not None else Counts()
        self.processes: dict[str, Process] = {}
        self._env, self._service_env = dict(env or {}), dict(service_env or {})
        self._inherit = settings.inherited(os.environ) if inherit is None else dict(inherit)
        self._servers = Servers(self.folder, bus, self.counts.brokers, dsn=dsn, bootstrap=bootstrap)
        self._api_port, self._keep, self._prefixes = api_port, keep, dict(prefixes or {})
        self._shared: Shared | None = None
        self._ports: PortBlock | None = None
        self._balancers: dict[str, Balancer] = {}
        self._ready: dict[str, bool] = {}
        self._session: aiohttp.ClientSession | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._wanted: set[str] = set()
        self.last_exit_codes: dict[str, int | None] = {}
        """How each service ended at the last `stop`; 0 is orderly."""

        self.deaths: list[tuple[str, int]] = []
        """Name and exit code of every life that ended without being asked to, with `keep` only."""

    # --- where it is

    @property
    def shared(self) -> Shared:
        if self._shared is None:
            raise CannotStart("the cluster has not been started")
        return self._shared

    @property
    def dsn(self) -> str:
        return self.shared.dsn

    @property
    def bootstrap(self) -> str | None:
        """The brokers as host:port,…; None on the Postgres bus."""
        return self.shared.bootstrap

    @property
    def api_url(self) -> str:
        """The address in front of all api processes."""
        return self._balancers["api"].url

    @property
    def webhook_url(self) -> str:
        return self._balancers["webhook"].url

    @property
    def api_urls(self) -> list[str]:
        """The address of each api process that runs."""
        return [process.url for process in self.of("api") if process.alive]

    @property
    def webhook_urls(self) -> list[str]:
        return [process.url for process in self.of("webhook") if process.alive]

    @property
    def postgres(self) -> EmbeddedPostgres:
        return self._servers.postgres

    @property
    def kafka(self) -> KafkaCluster:
        return self._servers.kafka

    def broker(self, name: str) -> KafkaBroker:
        """Return the broker with a name such as `broker-1`."""
        return self._servers.broker(name)

    def of(self, service: str) -> list[Process]:
        """Return the processes of a service, running or not."""
        return [process for process in self.processes.values() if process.service == service]

    def backends(self) -> list[tuple[str, int | None, int | None]]:
        """Return name, process id and port of Postgres and the brokers, as far as they are ours."""
        return self._servers.running()

    def is_ready(self, name: str) -> bool:
        """Whether a process said so when it was last asked, a moment ago."""
        return self._ready.get(name, False)

    # --- life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start everything and return when everything is ready. Raises CannotStart; then nothing is left running."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._session = aiohttp.ClientSession()
        self._ports = PortBlock.reserve(os.getpid())
        for service in BALANCED:
            wanted = self._api_port if service == "api" else None
            targets = functools.partial(self._targets, service)
            self._balancers[service] = Balancer(wanted or self._ports.take(), targets)
            await self._balancers[service].start()
        dsn, bootstrap = await self._servers.start()
        token, key = settings.keys(self.folder)
        self._shared = Shared(self.folder, dsn, bootstrap, self.counts.brokers, token, key)
        await self.run_once("migrate")
        if bootstrap is not None:
            await self.run_once("topics", "apply")
        for service in START_ORDER:
            for _ in range(self.counts.of(service)):
                await self._make(service).start()
        self._wanted = set(self.processes)
        self._watcher = asyncio.create_task(self._watch(), name="cluster-watch")
        await self.until_ready()

    async def stop(self, grace_s: float = STOP_GRACE_S) -> dict[str, int | None]:
        """Stop everything in order and return the exit codes of the services. Safe to call twice."""
        self._wanted.clear()
        await _ended(self._watcher)
        codes: dict[str, int | None] = {}
        for group in STOP_ORDER:
            ending = [process for service in group for process in self.of(service)]
            ended = await asyncio.gather(*(process.end(grace_s) for process in ending))
            codes |= {process.name: code for process, code in zip(ending, ended, strict=True)}
        for balancer in self._balancers.values():
            await balancer.close()
        await self._servers.stop()
        if self._session is not None:
            await self._session.close()
        if self._ports is not None:
            self._ports.close()
        self.last_exit_codes = codes
        self.processes, self._balancers, self._ready = {}, {}, {}
        self._watcher = self._session = self._ports = self._shared = None
        return codes

    async def until_ready(self, names: Iterable[str] | None = None, seconds: float = READY_TIMEOUT_S) -> None:
        """Wait until these processes are ready, by default all that run. Raises CannotStart naming the first that is not."""
        asked = [self._process(name) for name in names] if names is not None else self._running()
        await asyncio.gather(*(process.until_ready(self._http, seconds) for process in asked))
        self._ready |= dict.fromkeys((process.name for process in asked), True)

    # --- what may be done to it

    async def add(self, service: str, env: Mapping[str, str] | None = None, *, wait: bool = True) -> Process:
        """Start one more process of a service, with settings of its own."""
        if service not in START_ORDER:
            raise BadUsage(f"there is no service {service!r}; the services are {', '.join(START_ORDER)}")
        process = self._make(service, env)
        self._wanted.add(process.name)
        await process.start()
        if wait:
            await self.until_ready([process.name])
        return process

    async def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process, to `postgres` or to a broker; after SIGKILL, return when it is dead."""
        if self._servers.has(name):
            await self._servers.signal(name, number)
            return
        process = self._process(name)
        process.signal(number)
        if number == signal.SIGKILL:
            await process.wait()
            self._ready[name] = False

    async def pause(self, name: str) -> None:
        """Freeze a process: it lives, holds its connections and does nothing."""
        await self.kill(name, signal.SIGSTOP)

    async def resume(self, name: str) -> None:
        await self.kill(name, signal.SIGCONT)

    async def end(self, name: str, grace_s: float = STOP_GRACE_S) -> int | None:
        """Stop a process gracefully and leave it down; return its exit code."""
        self._wanted.discard(name)
        self._ready[name] = False
        return await self._process(name).end(grace_s)

    async def restart(self, name: str, env: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        """Start a process or a broker again, ending it first if it lives; `env` counts for this life only."""
        if name.startswith(BROKER):
            broker = self.broker(name)
            await broker.stop()
            await broker.start(wait=wait)
            return
        process = self._process(name)
        if process.alive:
            await self.end(name)
        self._wanted.add(name)
        await process.start(env)
        if wait:
            await self.until_ready([name])

    async def run_once(self, *arguments: str) -> str:
        """Run `levada ARGUMENTS` with the settings of an executor and return what it printed. Raises CannotStart."""
        place = self.folder / "once"
        place.mkdir(parents=True, exist_ok=True)
        printed = place / f"{'-'.join(arguments)}.log"
        with printed.open("wb") as output:
            child = await launch(
                [*LEVADA, *arguments], env=self._settings("executor", place), folder=place, output=output
            )
        try:
            async with asyncio.timeout(ONCE_TIMEOUT_S):
                code = await child.wait()
        except TimeoutError:
            raise CannotStart(f"`levada {' '.join(arguments)}` did not end within {ONCE_TIMEOUT_S:.0f} s") from None
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        text = printed.read_text(errors="replace")
        if code != 0:
            raise CannotStart(f"`levada {' '.join(arguments)}` ended with exit code {code}:\n{text.strip()}")
        return text

    # --- parts

    @property
    def _http(self) -> aiohttp.ClientSession:
        assert self._session is not None, "the cluster has not been started"
        return self._session

    def _process(self, name: str) -> Process:
        try:
            return self.processes[name]
        except KeyError:
            raise BadUsage(f"there is no process {name!r}; there are {', '.join(self.processes)}") from None

    def _running(self) -> list[Process]:
        return [process for process in self.processes.values() if process.alive]

    def _make(self, service: str, env: Mapping[str, str] | None = None) -> Process:
        assert self._ports is not None
        name = f"{service}-{len(self.of(service)) + 1}"
        folder = self.folder / name
        told = self._settings(service, folder) | dict(env or {})
        ports = (self._ports.take(), self._ports.take())
        process = Process(name, service, folder, *ports, told, tuple(self._prefixes.get(name, ())))
        process.env |= {
            "LEVADA_PORT": str(process.port),
            "LEVADA_MANAGEMENT_PORT": str(process.management_port),
        }
        self.processes[name] = process
        return process

    def _settings(self, service: str, folder: Path) -> dict[str, str]:
        return {
            **self._inherit,
            **settings.of_service(service, self.shared, [process.url for process in self.of("api")]),
            "LEVADA_DATA_DIR": str(folder / "data"),
            **self._env,
            **self._service_env.get(service, {}),
        }

    def _targets(self, service: str) -> list[int]:
        return [process.port for process in self.of(service) if process.alive and self.is_ready(process.name)]

    async def _watch(self) -> None:
        """Know who is ready, and with `keep` start again what died."""
        while True:
            rounds = [self._look_at(process) for process in list(self.processes.values())]
            if self._keep:
                rounds.append(self._servers.keep_brokers())
            await asyncio.gather(*rounds)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look_at(self, process: Process) -> None:
        self._ready[process.name] = await process.ready(self._http)
        if self._keep and process.name in self._wanted and not process.alive:
            await self._start_again(process)

    async def _start_again(self, process: Process) -> None:
        code = process.exit_code
        self.deaths.append((process.name, code if code is not None else 0))
        await asyncio.sleep(KEEP_PAUSE_S)
        if process.name in self._wanted and not process.alive:
            await process.start()


async def _ended(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def frozen(cluster: Cluster, name: str) -> AsyncIterator[None]:
    """Freeze a process while the context lasts."""
    await cluster.pause(name)
    try:
        yield
    finally:
        await cluster.resume(name)
