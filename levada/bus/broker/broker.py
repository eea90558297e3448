"""One broker: its life, with the deaths that tests need.

`start` returns when the broker takes part in its cluster (registered and not fenced), not when its port opens. Its ports are
chosen when the object is made and stay the same over restarts, so a client or a proxy may be told before the first start.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from levada.bus.broker import ports, probe, settings
from levada.bus.broker.errors import BrokerError
from levada.bus.broker.folder import Folder, random_id
from levada.bus.broker.jars import Sources
from levada.bus.broker.process import Process
from levada.bus.broker.program import Program, keep, write_files
from levada.bus.broker.settings import CLIENT, Listener, Place

log = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
"""On a busy machine a start that usually takes 2 s has taken 8."""

STOP_S = 5.0
RECORDING_STOP_S = 20.0
LOOK_EVERY_S = 0.05
QUICK = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A third of the processor time of a start; the peak throughput of a broker that runs for hours is lower."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How brokers are made: `settings` go over ours, `users` (name: password) can sign in with SCRAM, `prefix` stands before
    the command (`ip netns exec …`), `sources` say where the jars are, `tell` hears about a fetch."""

    listeners: tuple[Listener, ...] = (Listener(),)
    settings: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, str] = field(default_factory=dict)
    jvm: Sequence[str] = QUICK
    prefix: Sequence[str] = ()
    sources: Sources = field(default_factory=Sources.from_environment)
    tell: Callable[[str], None] = log.info


class KafkaBroker:
    """A data folder and the process on it. Use it as `async with`, or `start` and `stop`."""

    def __init__(
        self,
        folder: Path | str,
        setup: Setup | None = None,
        *,
        host: str = "127.0.0.1",
        node: int = 1,
        advertised: str | None = None,
    ) -> None:
        """`advertised` (host:port) is what clients of the first listener are told to connect to. Alone unless `join` says
        otherwise."""
        self._setup = setup or Setup()
        self._home = Folder(Path(folder))
        listeners = self._setup.listeners
        if advertised is not None:
            listeners = (replace(listeners[0], advertised=advertised), *listeners[1:])
        controller, internal, *free = ports.free(host, 2 + len(listeners))
        self.place = Place(node, host, controller, internal)
        self.listeners = tuple(replace(one, port=one.port or port) for one, port in zip(listeners, free, strict=True))
        self._voters: Sequence[Place] = (self.place,)
        self._cluster: str | None = None
        self._process: Process | None = None
        self._recording: Path | None = None
        self._archive: Path | None = None
        self._log_offset = 0
        self._paused = False

    def join(self, voters: Sequence[Place], cluster: str | None) -> None:
        """Make it one of several, before its first start. None keeps the cluster id that the folder has."""
        self._voters, self._cluster = tuple(voters), cluster

    @property
    def bootstrap(self) -> str:
        """Where clients of the first listener connect, as host:port."""
        return self.address(self.listeners[0].name)

    @property
    def port(self) -> int:
        """Where the first listener really is, whatever is advertised: a proxy's target."""
        return self.listeners[0].port

    def address(self, name: str = CLIENT) -> str:
        """Return where clients of this listener connect. Raises KeyError for a name that no listener has."""
        listener = {one.name: one for one in self.listeners}[name]
        return listener.advertised or f"{self.place.host}:{listener.port}"

    @property
    def folder(self) -> Folder:
        return self._home

    @property
    def running(self) -> bool:
        """Whether the process is there; it may be starting or paused."""
        return self._process is not None and self._process.exit_code is None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self.running and self._process is not None else None

    @property
    def cluster_id(self) -> str | None:
        return self._home.cluster_id()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, *, wait: bool = True) -> None:
        """Start it, formatting its folder the first time, and return when it serves; with `wait` off, at once.

        Raises NoJava, NoKafka, FolderInUse, and BrokerError with the end of its log when it does not come up in 60 s.
        Does nothing when it runs.
        """
        if self.running:
            return
        await asyncio.to_thread(self._home.acquire)
        try:
            program = await Program.find(self._setup.sources, self._setup.tell)
            self._check_ports()
            write_files(self._home, settings.properties(self.place, self._voters, self.listeners, self._setup.settings))
            if not self._home.formatted:
                cluster = self._cluster or random_id()
                await program.format(self._home, cluster, self.place.node, self._setup.users)
            self._launch(program)
            if wait:
                await self.wait_ready()
        except BaseException:
            await self.stop(grace_s=0)
            raise

    async def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when the broker takes part in its cluster. Raises BrokerError when it ends first, or is not ready in time."""
        deadline = time.monotonic() + timeout_s
        while self.place.node not in await self.members():
            if self._process is None or self._process.exit_code is not None:
                code = None if self._process is None else self._process.exit_code
                raise BrokerError(f"Kafka ended with exit code {code} while starting: {self._said()}")
            if time.monotonic() > deadline:
                raise BrokerError(f"Kafka is not ready after {timeout_s:.0f} s: {self._said()}")
            await asyncio.sleep(LOOK_EVERY_S)
        log.info("Kafka broker %d is ready at %s, process %d", self.place.node, self.bootstrap, self.pid or 0)

    async def members(self) -> frozenset[int]:
        """Return the brokers that take part, as this one knows them; empty while it does not serve."""
        return await probe.members(self.place.host, self.place.internal)

    async def stop(self, *, grace_s: float | None = None) -> None:
        """End the process, with SIGKILL after `grace_s` (5 s unless told), and give the folder back."""
        patience_s = grace_s if grace_s is not None else RECORDING_STOP_S if self._recording else STOP_S
        await self._end(patience_s)
        self._home.release()

    async def kill(self) -> None:
        """SIGKILL: what a machine that loses its broker sees. The folder stays ours."""
        await self._end(0)

    async def restart(self, *, grace_s: float | None = None) -> None:
        """Stop (with `grace_s=0`: kill) and start; returns when it serves again."""
        await self._end(STOP_S if grace_s is None else grace_s)
        await self.start()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        self._signal(signal.SIGCONT)
        self._paused = False

    async def wipe(self, *, cluster: str | None = None) -> None:
        """Kill it and delete all that it stored: amnesia. The next start makes it anew, alone under a new cluster id."""
        await self.kill()
        await asyncio.to_thread(self._home.forget)
        self._cluster = cluster or (self._cluster if len(self._voters) > 1 else None)

    # --- what a start consists of

    def _check_ports(self) -> None:
        """Refuse ports that are taken now: Kafka takes seconds to say so."""
        inner = {"controller": self.place.controller, "internal": self.place.internal}
        for name, port in {**inner, **{one.name: one.port for one in self.listeners}}.items():
            if not ports.is_free(self.place.host, port):
                raise BrokerError(
                    f"cannot start Kafka: {self.place.host}:{port} (listener {name}) is taken. Stop what listens there, "
                    "or choose another port."
                )

    def _launch(self, program: Program) -> None:
        self._home.shorten_log()
        self._log_offset = self._home.log_size()
        archive = program.archive
        if archive is not None and not archive.exists() and self.place.node == 1:
            self._recording = self._home.path / "classes.jsa"
            self._recording.unlink(missing_ok=True)
        self._archive = archive
        command = [*self._setup.prefix, *program.command(self._home, self._setup.jvm, self._recording)]
        lock = self._home.lock
        self._process = Process(command, self._home.log, () if lock is None else (lock,))
        self._paused = False

    def _said(self) -> str:
        return f"{self._home.log_since(self._log_offset)} (its log: {self._home.log})"

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or not self.running:
            raise BrokerError(f"the broker on {self._home.path} is not running")
        self._process.signal(number)

    async def _end(self, patience_s: float) -> None:
        process, self._process = self._process, None
        recording, self._recording = self._recording, None
        if process is None:
            return
        if self._paused:
            process.signal(signal.SIGCONT)
        if patience_s > 0:
            process.signal(signal.SIGTERM)
            if await process.ended_within(patience_s):
                if recording is not None and self._archive is not None and recording.exists():
                    await asyncio.to_thread(keep, recording, self._archive)
                return
            log.warning("Kafka did not end %.0f s after SIGTERM; killing it", patience_s)
        process.signal(signal.SIGKILL)
        await process.ended_within(60.0)
