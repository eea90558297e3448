"""The embedded Postgres under real processes and real kills."""

# ruff: noqa: ASYNC220, ASYNC221, ASYNC240  (a test has nothing else to do meanwhile)

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from levada.store.embedded import (
    DataDirInUse,
    EmbeddedPostgres,
    EmbeddedPostgresError,
    binaries,
    cluster,
    orphans,
    privilege,
)
from levada.store.embedded.lock import DataDirLock

pytestmark = pytest.mark.xdist_group("embedded-postgres")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another way to start the server")
SYSTEM_BIN = next(iter(binaries._in_system()), None)


async def query(dsn: str, sql: str) -> Any:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def eventually(attempt: Callable[[], Any], within_s: float = 20.0) -> Any:
    deadline = time.monotonic() + within_s
    while True:
        try:
            return await attempt()
        except (OSError, asyncpg.PostgresError, AssertionError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.02)


def home(data_dir: Path) -> cluster.Home:
    return cluster.Home(data_dir.resolve() / "postgres")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedPostgres]:
    async with EmbeddedPostgres(tmp_path / "data") as started:
        yield started


OWNER = """
import asyncio, sys
from levada.store.embedded import EmbeddedPostgres
async def main():
    server = EmbeddedPostgres(sys.argv[1])
    print(await server.start(), server.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


@contextlib.contextmanager
def owner_process(data_dir: Path) -> Any:
    """Another Python process that owns the data folder; yields it, its DSN and its postmaster's pid."""
    process = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(data_dir)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        dsn, pid = process.stdout.readline().split()
        yield process, dsn, int(pid)
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
        for left in orphans.processes(home(data_dir)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(left, signal.SIGKILL)


def kill_without_guard(process: Any, postmaster: int) -> None:
    """Kill an owner so that its server stays: its other child, the guard, goes first."""
    for child in psutil.Process(process.pid).children():
        if child.pid != postmaster:
            child.kill()
    process.kill()
    process.wait()


# --- the ordinary life


async def test_it_starts_serves_and_stops_without_a_trace(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "data") as server:
        assert await query(server.dsn, "SELECT current_database()") == "levada"
        assert await query(server.dsn, "SHOW fsync") == "on"
        assert await query(server.dsn, "SHOW listen_addresses") == ""
        assert await query(server.dsn, "SHOW server_encoding") == "UTF8"
        assert await query(server.dsn, "SELECT 'Ä' < 'z' COLLATE \"default\"") is False
        pid = server.pid
        assert pid is not None
    assert not server.running
    assert not psutil.pid_exists(pid)
    assert orphans.processes(home(tmp_path / "data")) == []


async def test_data_survive_a_restart_and_the_second_start_makes_no_cluster(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "data") as server:
        await query(server.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    started = time.monotonic()
    async with EmbeddedPostgres(tmp_path / "data") as server:
        assert time.monotonic() - started < 5
        assert await query(server.dsn, "SELECT answer FROM kept") == 42


async def test_settings_of_the_caller_win(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "data", settings={"work_mem": "7MB"}) as server:
        assert await query(server.dsn, "SHOW work_mem") == "7MB"


async def test_only_we_may_reach_the_socket(server: EmbeddedPostgres, tmp_path: Path) -> None:
    folder = home(tmp_path / "data").folder
    sockets = await query(server.dsn, "SHOW unix_socket_directories")
    assert stat.S_IMODE(Path(sockets).stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    connections = psutil.Process(server.pid).net_connections(kind="inet")
    assert [connection for connection in connections if connection.status == psutil.CONN_LISTEN] == []


async def test_a_deep_data_folder_gets_a_short_socket_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    async with EmbeddedPostgres(deep) as server:
        assert await query(server.dsn, "SELECT 1") == 1
        directory = await query(server.dsn, "SHOW unix_socket_directories")
        assert len(directory) < 90
        assert stat.S_IMODE(Path(directory).stat().st_mode) == 0o700


async def test_a_data_folder_may_have_any_name(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "my data's & 100% föld,er") as server:
        assert await query(server.dsn, "SELECT 1") == 1


async def test_it_can_be_started_again_by_the_same_object(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    for _ in range(3):
        assert await query(await server.start(), "SELECT 1") == 1
        await server.stop()
        await server.stop()


async def test_stop_ends_clients_that_hold_transactions(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    connection = await asyncpg.connect(await server.start())
    await connection.execute("BEGIN; CREATE TABLE t (a int)")
    started = time.monotonic()
    await server.stop()
    assert time.monotonic() - started < 5
    connection.terminate()


# --- one owner


async def test_a_second_owner_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with owner_process(tmp_path / "data") as (process, dsn, _):
        with pytest.raises(DataDirInUse, match=rf"in use by process {process.pid}.*--data-dir"):
            await EmbeddedPostgres(tmp_path / "data").start()
        assert await query(dsn, "SELECT 1") == 1


async def test_the_same_process_cannot_own_a_folder_twice(server: EmbeddedPostgres, tmp_path: Path) -> None:
    with pytest.raises(DataDirInUse, match=f"process {os.getpid()}"):
        await EmbeddedPostgres(tmp_path / "data").start()
    assert await query(server.dsn, "SELECT 1") == 1


def test_a_lock_is_free_again_after_release(tmp_path: Path) -> None:
    first, second = DataDirLock(tmp_path / "lock"), DataDirLock(tmp_path / "lock")
    first.acquire()
    with pytest.raises(DataDirInUse):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


# --- kills


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGQUIT])
async def test_a_postmaster_that_dies_is_started_again_with_all_that_was_committed(tmp_path: Path, number: int) -> None:
    exits: list[int] = []
    async with EmbeddedPostgres(tmp_path / "data", on_exit=exits.append) as server:
        await query(server.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        before = server.pid
        assert before is not None
        os.kill(before, number)
        await eventually(lambda: asyncio.wait_for(_changed(server, before), 1))
        assert await eventually(lambda: query(server.dsn, "SELECT answer FROM kept")) == 42
    assert len(exits) == 1


async def test_a_strangers_sigterm_does_not_leave_a_server_that_refuses_everybody(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "data") as server:
        client = await asyncpg.connect(server.dsn)  # a polite stop would wait for it for ever
        before = server.pid
        assert before is not None
        os.kill(before, signal.SIGTERM)
        await eventually(lambda: _changed(server, before))
        assert await eventually(lambda: query(server.dsn, "SELECT 1")) == 1
        client.terminate()


async def _changed(server: EmbeddedPostgres, before: int) -> None:
    if server.pid in (None, before):
        raise AssertionError("still the old one")


async def test_acknowledged_rows_survive_kills_under_load(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    done = False

    async def write(dsn: str) -> None:
        while not done:
            with contextlib.suppress(
                OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError
            ):
                connection = await asyncpg.connect(dsn, timeout=5)
                try:
                    while not done:
                        acknowledged.append(await connection.fetchval("INSERT INTO row DEFAULT VALUES RETURNING id"))
                finally:
                    connection.terminate()
            await asyncio.sleep(0.01)

    async with EmbeddedPostgres(tmp_path / "data") as server:
        await query(server.dsn, "CREATE TABLE row (id bigserial PRIMARY KEY)")
        writers = [asyncio.create_task(write(server.dsn)) for _ in range(8)]
        for _ in range(3):
            await eventually(partial(_more_than, acknowledged, len(acknowledged) + 200))
            if server.pid is not None:
                os.kill(server.pid, signal.SIGKILL)
        await eventually(lambda: query(server.dsn, "SELECT 1"))
        done = True
        await asyncio.gather(*writers)
        connection = await asyncpg.connect(server.dsn)
        kept = {row["id"] for row in await connection.fetch("SELECT id FROM row")}
        await connection.close()
    assert len(acknowledged) >= 600
    assert set(acknowledged) <= kept


async def _more_than(rows: list[int], count: int) -> None:
    if len(rows) < count:
        raise AssertionError(f"{len(rows)} rows, not {count}")


async def test_a_killed_backend_does_not_end_the_server(server: EmbeddedPostgres) -> None:
    connection = await asyncpg.connect(server.dsn)
    os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGKILL)
    assert await eventually(lambda: query(server.dsn, "SELECT 1")) == 1
    connection.terminate()


async def test_a_new_owner_takes_down_the_server_of_a_killed_one(tmp_path: Path) -> None:
    with owner_process(tmp_path / "data") as (process, dsn, orphan):
        await query(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        kill_without_guard(process, orphan)
        await asyncio.sleep(0.3)
        assert _alive(orphan)
        async with EmbeddedPostgres(tmp_path / "data") as server:
            assert server.pid != orphan
            assert not _alive(orphan)
            assert await query(server.dsn, "SELECT answer FROM kept") == 42


async def test_a_killed_owner_leaves_no_server_behind(tmp_path: Path) -> None:
    with owner_process(tmp_path / "data") as (process, _, postmaster):
        process.kill()
        await eventually(lambda: _gone(postmaster))
        async with EmbeddedPostgres(tmp_path / "data") as server:
            assert await query(server.dsn, "SELECT 1") == 1


async def _gone(pid: int) -> None:
    if _alive(pid):
        raise AssertionError(f"process {pid} is still there")


async def test_a_new_owner_recovers_after_owner_and_server_were_killed(tmp_path: Path) -> None:
    with owner_process(tmp_path / "data") as (process, dsn, postmaster):
        await query(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
        process.kill()
        os.kill(postmaster, signal.SIGKILL)
        process.wait()
        async with EmbeddedPostgres(tmp_path / "data") as server:
            assert await query(server.dsn, "SELECT answer FROM kept") == 42


async def test_a_stale_pid_file_that_names_a_living_stranger_keeps_nothing_from_starting(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "data"):
        pass
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        data = home(tmp_path / "data").data
        (data / "postmaster.pid").write_text(
            f"{stranger.pid}\n{data}\n1700000000\n5432\n/tmp\n\n  5432001         1\nready   \n"
        )
        async with EmbeddedPostgres(tmp_path / "data") as server:
            assert await query(server.dsn, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_killed_initdb_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    folder = home(tmp_path / "data").folder
    half = folder / "data.new-x"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    async with EmbeddedPostgres(tmp_path / "data") as server:
        assert await query(server.dsn, "SELECT 1") == 1
    assert not half.exists()


async def test_cancelling_a_start_leaves_no_process_and_no_lock(tmp_path: Path) -> None:
    for delay_s in (0.05, 0.3, 0.6, 0.9):
        server = EmbeddedPostgres(tmp_path / "data")
        start = asyncio.create_task(server.start())
        await asyncio.sleep(delay_s)
        start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await start
            await server.stop()  # it was faster than we
        assert orphans.processes(home(tmp_path / "data")) == []


async def test_ctrl_c_in_the_terminal_does_not_reach_the_server(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    assert os.getsid(server.pid) != os.getsid(0)
    assert os.getpgid(server.pid) != os.getpgid(0)


def test_an_interpreter_that_ends_without_stop_takes_the_server_along(tmp_path: Path) -> None:
    code = OWNER.replace("await asyncio.sleep(600)", "raise RuntimeError('bug')")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, timeout=60, check=False
    )
    assert "RuntimeError: bug" in done.stderr
    assert not _alive(int(done.stdout.split()[1]))


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


# --- binaries and errors


async def test_without_programs_the_error_names_both_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "WHEEL", "no_such_package")
    monkeypatch.setattr(binaries, "SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EmbeddedPostgresError, match=r"apt-get install postgresql.*LEVADA_DATABASE_URL"):
        await EmbeddedPostgres(tmp_path / "data").start()


async def test_an_explicit_folder_without_programs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="has no `postgres` and `initdb`"):
        await EmbeddedPostgres(tmp_path / "data", bin_dir=tmp_path).start()


async def test_a_cluster_of_a_version_that_is_not_here_is_refused_with_the_way_to_upgrade(tmp_path: Path) -> None:
    data = home(tmp_path / "data").data
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("14\n")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 14.*pg_upgrade"):
        await EmbeddedPostgres(tmp_path / "data").start()


async def test_a_cluster_is_served_by_the_version_that_made_it(tmp_path: Path) -> None:
    package = next(iter(binaries._in_wheel())).parent.parent
    old = package / "pginstall" / "bin"
    async with EmbeddedPostgres(tmp_path / "data", bin_dir=old) as server:
        assert (await query(server.dsn, "SHOW server_version")).startswith("16.")
    async with EmbeddedPostgres(tmp_path / "data") as server:
        assert (await query(server.dsn, "SHOW server_version")).startswith("16.")


@pytest.mark.skipif(SYSTEM_BIN is None, reason="no PostgreSQL of the system")
async def test_the_systems_own_postgres_works_too(tmp_path: Path) -> None:
    async with EmbeddedPostgres(tmp_path / "data", bin_dir=SYSTEM_BIN) as server:
        assert await query(server.dsn, "SELECT 1") == 1


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"while starting:.*shared_buffers.*server\.log"):
        await EmbeddedPostgres(tmp_path / "data", settings={"shared_buffers": "nonsense"}).start()
    async with EmbeddedPostgres(tmp_path / "data") as server:  # and the lock is free again
        assert await query(server.dsn, "SELECT 1") == 1


async def test_a_file_in_the_place_of_the_data_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="cannot make the data folder"):
        await EmbeddedPostgres(tmp_path / "data").start()


# --- as root, without user namespaces


@pytest.fixture
def no_namespaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(privilege.shutil, "which", lambda name: None)


@as_root
async def test_root_without_namespaces_drops_to_another_user(no_namespaces: None, tmp_path: Path) -> None:
    _open_to_others(tmp_path)
    async with EmbeddedPostgres(tmp_path / "data") as server:
        assert await query(server.dsn, "SELECT 1") == 1
        assert psutil.Process(server.pid).uids().effective == privilege.SHOWN_UID


@as_root
async def test_a_folder_may_change_between_the_ways_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _open_to_others(tmp_path)
    async with EmbeddedPostgres(tmp_path / "data") as server:
        await query(server.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")
    async with EmbeddedPostgres(tmp_path / "data", run_as="nobody") as server:
        assert await query(server.dsn, "SELECT answer FROM kept") == 42
    async with EmbeddedPostgres(tmp_path / "data") as server:
        assert await query(server.dsn, "SELECT answer FROM kept") == 42


@as_root
async def test_programs_out_of_reach_are_linked_to_where_others_can_read_them(
    no_namespaces: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _open_to_others(tmp_path)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = next(iter(binaries._in_wheel())).parent.parent
    subprocess.run(["cp", "-al", str(package), f"{package}.libs", str(closed)], check=True)
    monkeypatch.setattr(privilege.tempfile, "gettempdir", lambda: str(tmp_path))
    async with EmbeddedPostgres(tmp_path / "data", bin_dir=closed / package.name / "pginstall18" / "bin") as server:
        assert await query(server.dsn, "SELECT 1") == 1
        assert "levada-programs-" in psutil.Process(server.pid).exe()


@as_root
async def test_a_folder_no_other_user_can_reach_is_named(no_namespaces: None, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match=r"closed to other users.*/var/lib/levada"):
        await EmbeddedPostgres(tmp_path / "private" / "data").start()


@as_root
async def test_an_unknown_user_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="no user 'nemo'"):
        await EmbeddedPostgres(tmp_path / "data", run_as="nemo").start()


@as_root
def test_an_ordinary_user_starts_it_too(tmp_path: Path) -> None:
    _open_to_others(tmp_path)
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", privilege.SHOWN_UID, privilege.SHOWN_UID)
    become = f"import os; os.setgroups([]); os.setgid({privilege.SHOWN_UID}); os.setuid({privilege.SHOWN_UID})"
    code = OWNER.replace("await asyncio.sleep(600)", "await server.stop()").replace(
        "async def main", f"{become}\nasync def main"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("postgresql://")
    assert (tmp_path / "data" / "postgres" / "data" / "PG_VERSION").stat().st_uid == privilege.SHOWN_UID


def _open_to_others(folder: Path) -> None:
    """Let others pass through pytest's own private folders."""
    for parent in (folder, *folder.parents):
        if parent.name.startswith(("pytest-", "popen-")):
            parent.chmod(0o755)
    folder.chmod(0o755)
