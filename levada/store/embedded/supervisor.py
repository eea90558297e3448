"""The life of the embedded server: start, watch, restart, stop.

The order of a start matters. The lock comes first, so that everything after it may assume to be alone on the data folder.
Then the way to run programs, the programs, the cluster (made aside and renamed when complete, so that a kill half-way
leaves nothing that looks like a cluster), the orphans of earlier owners, and only then the server.

A server that dies while it is wanted is started again with growing pauses, for ever: its clients see refused connections
in between, which is the same to them as a restart of any other Postgres. Its own recovery makes that safe.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg

from levada.store.embedded import binaries as search
from levada.store.embedded import child as processes
from levada.store.embedded import cluster, orphans, privilege
from levada.store.embedded.binaries import Binaries
from levada.store.embedded.child import Child, Guard
from levada.store.embedded.errors import EmbeddedPostgresError
from levada.store.embedded.lock import DataDirLock
from levada.store.embedded.privilege import Launcher

log = logging.getLogger(__name__)

START_TIMEOUT_S = 300.0
"""Longest wait for a server that says it is starting: recovery after a crash replays its log first."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 3.0
LOOK_EVERY_S = 2.0
HEALTHY_AFTER_S = 60.0
"""A server that ran this long starts a new series of restarts."""


class EmbeddedPostgres:
    """One cluster in a data folder and the server on it. Use it as `async with`, or `start` and `stop`."""

    def __init__(
        self,
        data_dir: Path | str,
        *,
        bin_dir: Path | None = None,
        run_as: str | None = None,
        settings: Mapping[str, str] | None = None,
        on_exit: Callable[[int], None] | None = None,
    ) -> None:
        """`bin_dir` overrides the search for programs; `run_as` names the user to drop to when we are root; `settings`
        go over ours; `on_exit` hears the exit code each time the server dies unasked, before it is started again."""
        self._data_dir = Path(data_dir).resolve()
        self._home = cluster.Home(self._data_dir / "postgres")
        self._bin_dir, self._run_as = bin_dir, run_as
        self._settings = dict(settings or {})
        self._on_exit = on_exit
        self._lock = DataDirLock(self._data_dir / "postgres.lock")
        self._server: Child | None = None
        self._guard: Guard | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._launcher = Launcher()
        self._binaries: Binaries | None = None
        self._socket_dir: Path | None = None

    @property
    def dsn(self) -> str:
        """The address of Levada's database; stays the same over restarts."""
        return self.database_dsn(cluster.DATABASE)

    @property
    def pid(self) -> int | None:
        """The postmaster's process id; None while there is none."""
        return self._server.pid if self.running and self._server is not None else None

    @property
    def running(self) -> bool:
        """Whether the server's process is there. It may still be starting."""
        return self._server is not None and self._server.exit_code is None

    def database_dsn(self, database: str) -> str:
        """Return the address of another database of the same server."""
        if self._socket_dir is None:
            raise EmbeddedPostgresError("the embedded PostgreSQL has not been started")
        return cluster.dsn(self._socket_dir, database)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> str:
        """Start the server, making its cluster on first use, and return the DSN of Levada's database.

        Returns when the database accepts connections. Raises DataDirInUse when another process owns the folder and
        EmbeddedPostgresError, with the way out, for everything else that keeps a server from running here.
        """
        self._make_folders()
        self._lock.acquire()
        try:
            self._launcher, self._binaries = self._choose()
            self._socket_dir = cluster.socket_dir(self._home)
            privilege.own(self._launcher, self._socket_dir)
            await orphans.sweep(self._home, self._socket_dir)
            if self._home.made_by() is None:
                await self._make_cluster(self._binaries)
            privilege.own(self._launcher, self._home.data)
            await self._launch(self._binaries, self._socket_dir)
            await self._ensure_database()
        except BaseException:
            await self._end_server()
            self._lock.release()
            raise
        self._watcher = asyncio.create_task(self._watch(self._binaries, self._socket_dir), name="embedded-postgres")
        return self.dsn

    async def stop(self) -> None:
        """Stop the server and give the data folder back. Does nothing when it is not running."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.cancel()
            await asyncio.wait([watcher])
        await self._end_server()
        if self._socket_dir is not None and self._socket_dir.parent != self._home.folder:
            with contextlib.suppress(
                OSError
            ):  # a socket that a killed server left keeps its folder, for the next start
                self._socket_dir.rmdir()
        self._lock.release()
        if watcher is not None and not watcher.cancelled() and (error := watcher.exception()) is not None:
            raise error

    # --- what a start consists of

    def _make_folders(self) -> None:
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._home.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EmbeddedPostgresError(f"cannot make the data folder {self._home.folder}: {error.strerror}") from error

    def _choose(self) -> tuple[Launcher, Binaries]:
        """Return the first pair of a way to start programs and programs that serve this data folder."""
        folders = list(search.candidates(self._bin_dir))
        if not folders:
            raise EmbeddedPostgresError(search.NO_BINARIES)
        wanted, reached = self._home.made_by(), False
        found: list[Binaries] = []
        for launcher in privilege.launchers(self._home.folder, self._run_as):
            privilege.own(launcher, self._home.folder)
            if not launcher.reaches(self._home.folder):
                continue
            reached = True
            for folder in folders:
                usable = _version_of(launcher, folder)
                if usable is None:
                    continue
                if wanted in (None, usable.major) and usable.major >= search.MINIMUM_MAJOR:
                    return launcher, usable
                found.append(usable)
        if not reached:
            raise privilege.unreachable(self._home.folder)
        if not found:
            raise EmbeddedPostgresError(f"these PostgreSQL programs do not run here: {', '.join(map(str, folders))}")
        if wanted is None:
            raise EmbeddedPostgresError(
                f"{search.NO_BINARIES} Version {search.MINIMUM_MAJOR} is the oldest; found: {found}"
            )
        raise search.wrong_major(self._home.data, wanted, found)

    async def _make_cluster(self, binaries: Binaries) -> None:
        log.info("making a PostgreSQL %d cluster in %s", binaries.major, self._home.data)
        for left in self._home.folder.glob("data.new-*"):
            shutil.rmtree(left, ignore_errors=True)
        # A folder of its own each time: the initdb of an owner that was killed may still be writing to the last one.
        half_made = Path(tempfile.mkdtemp(prefix="data.new-", dir=self._home.folder))
        privilege.own(self._launcher, half_made)
        code, output = await processes.run(self._launcher, cluster.initdb_command(binaries, half_made))
        if code != 0:
            raise EmbeddedPostgresError(f"{binaries.initdb} failed with exit code {code}: {output}")
        os.rename(half_made, self._home.data)
        _sync_folder(self._home.folder)

    async def _launch(self, binaries: Binaries, socket_dir: Path) -> None:
        """Start the server process and wait until it is ready."""
        descriptor = cluster.open_log(self._home)
        with os.fdopen(descriptor, "ab") as output:
            offset = os.fstat(descriptor).st_size
            command = cluster.server_command(binaries, self._home, socket_dir, self._settings)
            self._server = Child(self._launcher, command, output)
        self._guard = _guard_of(self._server)
        atexit.register(self._stop_at_exit)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START_TIMEOUT_S
        while cluster.state(self._home, self._server.pid) != "ready":
            if await self._server.ended_within(0.005):
                raise EmbeddedPostgresError(
                    f"PostgreSQL ended with exit code {self._server.exit_code} while starting: "
                    f"{cluster.log_since(self._home, offset)} (its log: {self._home.log})"
                )
            if loop.time() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL is not ready after {START_TIMEOUT_S:.0f} s; see {self._home.log}"
                )
        log.info("PostgreSQL %d is ready, process %d", binaries.major, self._server.pid)

    async def _ensure_database(self) -> None:
        try:
            connection = await asyncpg.connect(self.dsn, timeout=30)
        except asyncpg.InvalidCatalogNameError:
            connection = await asyncpg.connect(self.database_dsn("postgres"), timeout=30)
            await connection.execute(f'CREATE DATABASE "{cluster.DATABASE}"')
        await connection.close(timeout=10)

    # --- while it runs

    async def _watch(self, binaries: Binaries, socket_dir: Path) -> None:
        loop = asyncio.get_running_loop()
        pause_s, started = FIRST_PAUSE_S, loop.time()
        while True:
            if self._server is not None:
                code = await self._death_of(self._server)
                self._dismiss_guard()
                log.error("PostgreSQL died with exit code %d; starting it again (its log: %s)", code, self._home.log)
                if self._on_exit is not None:
                    self._on_exit(code)
                if loop.time() - started > HEALTHY_AFTER_S:
                    pause_s = FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s, started = min(pause_s * 2, LONGEST_PAUSE_S), loop.time()
            try:
                await orphans.sweep(self._home, socket_dir)
                await self._launch(binaries, socket_dir)
            except (EmbeddedPostgresError, OSError) as error:
                log.error("PostgreSQL did not start again, next try in %.1f s: %s", pause_s, error)
                await self._end_server()

    async def _death_of(self, server: Child) -> int:
        """Wait for the server's end and return its exit code.

        A stranger's SIGTERM makes Postgres wait for its clients, which never leave, and refuse new ones: neither dead nor
        of use. Such a server is made to end, so that a new one can take its place.
        """
        while not await server.ended_within(LOOK_EVERY_S):
            if cluster.state(self._home, server.pid) == "stopping":
                log.warning("somebody told PostgreSQL to stop; ending it so that it can be started again")
                server.signal(signal.SIGINT)
        return await server.wait()

    async def _end_server(self) -> None:
        """Fast stop, then immediate stop, then the kernel's."""
        server, self._server = self._server, None
        if server is not None:
            for number, patience_s in (
                (signal.SIGINT, orphans.FAST_STOP_S),
                (signal.SIGQUIT, orphans.IMMEDIATE_STOP_S),
                (signal.SIGKILL, 60.0),
            ):
                server.signal(number)
                if await server.ended_within(patience_s):
                    break
                log.warning("PostgreSQL did not end %.0f s after %s", patience_s, number.name)
        self._dismiss_guard()
        atexit.unregister(self._stop_at_exit)

    def _dismiss_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.dismiss()

    def _stop_at_exit(self) -> None:
        """For an interpreter that ends without `stop`: a crash of the loop must not leave a server behind."""
        if self._server is not None:
            self._server.signal(signal.SIGINT)
            if not self._server.wait_blocking(orphans.FAST_STOP_S):
                self._server.signal(signal.SIGQUIT)


def _guard_of(server: Child) -> Guard | None:
    try:
        return Guard(server.pid)
    except OSError as error:
        log.debug("no guard over PostgreSQL: %s", error)
        return None


def _version_of(launcher: Launcher, folder: Path) -> Binaries | None:
    """Return what `postgres` in this folder says it is, from a reachable copy if need be; None when it does not run."""
    output = launcher.probe([str(folder / "postgres"), "--version"])
    if output is None:
        copy = privilege.reachable_copy(launcher, folder)
        output = None if copy is None else launcher.probe([str(copy / "postgres"), "--version"])
        folder = copy or folder
    return None if output is None else Binaries(folder, search.parse_major(output))


def _sync_folder(folder: Path) -> None:
    """Make a rename inside the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, descriptor)
        os.fsync(descriptor)
