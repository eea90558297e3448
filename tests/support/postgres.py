"""Fixtures that give a test a real Postgres.

`database` is the DSN of a fresh, migrated database, dropped after the test; `empty_database` one without any table. All
tests of a run share one server, xdist's workers included: the first test that needs it starts a keeper process, which
runs an embedded Postgres until the run is over (or was killed). A run that needs no database starts none.

Environment: TEST_DATABASE_URL names a server to use instead (a superuser's DSN); TEST_POSTGRES_BIN a folder of programs.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from levada.store import migrate
from levada.store.embedded import EmbeddedPostgres

FOLDER_VARIABLE = "TEST_POSTGRES_FOLDER"
START_TIMEOUT_S = 60.0
TEMPLATE_LOCK = 7311


@dataclass(frozen=True)
class Server:
    """A running server that tests may make databases on."""

    admin_dsn: str

    def dsn(self, database: str) -> str:
        return urlunsplit(urlsplit(self.admin_dsn)._replace(path=f"/{database}"))

    async def execute(self, sql: str) -> None:
        connection = await asyncpg.connect(self.admin_dsn, timeout=30)
        try:
            await connection.execute(sql)
        finally:
            await connection.close()


@pytest.fixture(scope="session")
def postgres_server() -> Server:
    """The run's shared Postgres."""
    external = os.environ.get("TEST_DATABASE_URL")
    return Server(external if external else _shared_server(Path(os.environ[FOLDER_VARIABLE])))


@pytest.fixture(scope="session")
def template_database(postgres_server: Server) -> str:
    """The name of the migrated database that others are copied from."""
    return asyncio.run(_make_template(postgres_server))


@pytest.fixture
async def database(postgres_server: Server, template_database: str) -> AsyncIterator[str]:
    """The DSN of a migrated database of this test's own."""
    async with _database(postgres_server, f'TEMPLATE "{template_database}"') as dsn:
        yield dsn


@pytest.fixture
async def empty_database(postgres_server: Server) -> AsyncIterator[str]:
    """The DSN of a database without tables."""
    async with _database(postgres_server, "") as dsn:
        yield dsn


@contextlib.asynccontextmanager
async def _database(server: Server, options: str) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex[:16]}"
    await server.execute(f'CREATE DATABASE "{name}" {options}')
    try:
        yield server.dsn(name)
    finally:
        await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


async def _make_template(server: Server) -> str:
    checksums = "".join(migration.checksum for migration in migrate.read())
    name = f"template_levada_{hashlib.sha256(checksums.encode()).hexdigest()[:12]}"
    admin = await asyncpg.connect(server.admin_dsn, timeout=30)
    try:
        await admin.execute("SELECT pg_advisory_lock($1)", TEMPLATE_LOCK)  # xdist's workers come here together
        if not await admin.fetchval("SELECT datistemplate FROM pg_database WHERE datname = $1", name):
            await admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            await admin.execute(f'CREATE DATABASE "{name}"')
            connection = await asyncpg.connect(server.dsn(name), timeout=30)
            try:
                await migrate.migrate(connection)
            finally:
                await connection.close()
            await admin.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE true')
    finally:
        await admin.close()
    return name


# --- the shared server


def pytest_configure() -> None:
    """Name the folder of the shared server before xdist starts its workers, which inherit the environment."""
    os.environ.setdefault(FOLDER_VARIABLE, str(Path(tempfile.gettempdir()) / f"levada-tests-{os.getpid()}"))


def pytest_unconfigure() -> None:
    """Stop the keeper when the run that named the folder ends."""
    folder = Path(os.environ[FOLDER_VARIABLE])
    if not folder.name.endswith(f"-{os.getpid()}"):
        return  # a worker of xdist
    del os.environ[FOLDER_VARIABLE]
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        keeper = int((folder / "keeper.pid").read_text())
        os.kill(keeper, signal.SIGTERM)
        _wait_until(lambda: not (folder / "keeper.pid").exists(), "the test server's keeper did not end")
    shutil.rmtree(folder, ignore_errors=True)


def _shared_server(folder: Path) -> str:
    """Return the DSN of the run's server, starting its keeper if nobody has."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        address = folder / "dsn"
        if not address.exists():
            with (folder / "keeper.log").open("wb") as output:
                keeper = subprocess.Popen(
                    [sys.executable, __file__, str(folder), folder.name.rpartition("-")[2]],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            _wait_until(
                lambda: address.exists() or keeper.poll() is not None,
                "the test server did not start",
            )
            if not address.exists():
                raise RuntimeError(f"the test server did not start: {(folder / 'keeper.log').read_text()}")
            keeper.returncode = 0  # it outlives this process on purpose; Popen would warn
        return address.read_text()


def _wait_until(condition: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(message)
        time.sleep(0.01)


async def _keep(folder: Path, run_pid: int) -> None:
    """Run the server until the test run tells us to stop, or is gone."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    programs = os.environ.get("TEST_POSTGRES_BIN")
    # A test kills processes, never the machine's power: what reached the kernel is safe.
    settings = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}
    pid_file = folder / "keeper.pid"
    async with EmbeddedPostgres(
        folder / "data", bin_dir=Path(programs) if programs else None, settings=settings
    ) as server:
        pid_file.write_text(str(os.getpid()))
        (folder / "dsn.new").write_text(server.database_dsn("postgres"))
        (folder / "dsn.new").rename(folder / "dsn")
        while not stop.is_set() and _alive(run_pid):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
    if not _alive(run_pid):
        shutil.rmtree(folder, ignore_errors=True)
    pid_file.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(_keep(Path(sys.argv[1]), int(sys.argv[2])))
