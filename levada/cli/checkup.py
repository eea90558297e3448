"""What `levada doctor` looks at: this machine, the data folder, the database, the addresses.

Each check is a function that returns findings and changes nothing: no folder is made, no server started, no lock kept. A
finding that is not fine says what to do about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from levada.cli.client import Client, Server
from levada.cli.connection import recorded_address
from levada.model.errors import LevadaError
from levada.runtime.clock import SystemClock
from levada.runtime.config import Config, Loaded

GOOD, DOUBTFUL, BAD = "ok", "warning", "error"

LITTLE_DISK_BYTES, NO_DISK_BYTES = 2 << 30, 200 << 20
SKEW_S = 2.0
"""Clocks of one installation that differ by more make timers and leases hard to understand."""


class Finding(msgspec.Struct, frozen=True):
    """One result: `level` is ok, warning or error; `remedy` is what to do, empty when nothing."""

    check: str
    level: str
    detail: str
    remedy: str = ""


async def examine(loaded: Loaded) -> AsyncIterator[Finding]:
    """Yield every finding, one after the other."""
    config = loaded.config
    for finding in (*python(), *tools(config), *data_folder(config), *disk(config), *access(config), *clock()):
        yield finding
    for found in (await addresses(config), await database(config)):
        for finding in found:
            yield finding


def python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = sys.version_info >= (3, 11)
    yield Finding("python", GOOD if fine else BAD, f"{version} ({sys.executable})", "" if fine else "use Python 3.11+")


def tools(config: Config) -> Iterator[Finding]:
    """The programs that Levada starts: Postgres when embedded, uv for Python tasks, a shell."""
    if config.embedded_database:
        from levada.store.embedded import binaries

        try:
            folders = list(binaries.candidates(config.database.bin_dir))
        except LevadaError as error:
            yield Finding("postgres programs", BAD, str(error), "correct database.bin_dir")
        else:
            found = ", ".join(map(str, folders))
            yield (
                Finding("postgres programs", GOOD, found)
                if folders
                else Finding("postgres programs", BAD, "none found", binaries.NO_BINARIES)
            )
    uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
    yield (
        Finding("uv", GOOD, uv)
        if uv
        else Finding("uv", DOUBTFUL, "not found", "install uv: Python tasks with `dependencies` need it")
    )
    shell = shutil.which("sh")
    yield Finding("shell", GOOD, shell) if shell else Finding("shell", BAD, "no sh on the PATH", "shell tasks need it")


def data_folder(config: Config) -> Iterator[Finding]:
    """The folder, whether it can be written, and who owns it."""
    folder = config.data_dir.resolve()
    if not folder.exists():
        above = next(parent for parent in folder.parents if parent.exists())
        fine = os.access(above, os.W_OK)
        yield Finding(
            "data folder", GOOD if fine else BAD, f"{folder} will be made", "" if fine else f"{above} is not writable"
        )
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("data folder", BAD, f"{folder} is not writable", "give it to this user, or set --data-dir")
        return
    owner = lock_owner(folder / "postgres.lock")
    yield Finding("data folder", GOOD, f"{folder}, " + (f"in use by process {owner}" if owner else "not in use"))
    version = folder / "postgres" / "data" / "PG_VERSION"
    if version.exists():
        yield Finding("embedded cluster", GOOD, f"PostgreSQL {version.read_text().strip()}")


def lock_owner(path: Path) -> str | None:
    """Return the process that holds a data folder, or None. Takes the lock for an instant to find out."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
    finally:
        os.close(descriptor)
    return None


def disk(config: Config) -> Iterator[Finding]:
    folder = config.data_dir.resolve()
    free = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists())).free
    level = BAD if free < NO_DISK_BYTES else DOUBTFUL if free < LITTLE_DISK_BYTES else GOOD
    yield Finding("disk", level, f"{free / (1 << 30):.1f} GiB free", "" if level == GOOD else "make room on this disk")


def access(config: Config) -> Iterator[Finding]:
    """Who may call, and from where."""
    from levada.runtime.config import is_loopback

    if config.basic_auth.username and config.auth.mode == "basic":
        yield Finding("sign-in", GOOD, f"user {config.basic_auth.username}")
    elif is_loopback(config.host):
        yield Finding("sign-in", GOOD, f"none; only this machine reaches {config.host}")
    else:
        yield Finding(
            "sign-in",
            BAD,
            f"none, but {config.host} is reachable from outside",
            "set LEVADA_BASIC_AUTH_USERNAME and LEVADA_BASIC_AUTH_PASSWORD",
        )


def clock() -> Iterator[Finding]:
    now = datetime.fromtimestamp(SystemClock().now_us() / 1e6, UTC)
    zone = now.astimezone().tzname()
    fine = now.year >= 2026
    yield Finding(
        "clock",
        GOOD if fine else BAD,
        f"{now:%Y-%m-%d %H:%M:%S} UTC, local zone {zone}",
        "" if fine else "set the clock",
    )


async def addresses(config: Config) -> list[Finding]:
    """Whether the ports are free, or Levada's already."""
    recorded = recorded_address(config.data_dir)
    if recorded:
        async with Client(Server(url=recorded)) as client:
            if await client.alive():
                return [Finding("server", GOOD, f"running at {recorded}")]
    return [
        _port(name, config.host, port)
        for name, port in (("port", config.port), ("management port", config.management_port))
    ]


def _port(name: str, host: str, port: int) -> Finding:
    if port == 0:
        return Finding(name, GOOD, "any free one")
    try:
        free(host, port)
    except OSError as error:
        remedy = f"stop what listens there, or choose another {name}"
        return Finding(name, BAD, f"{host}:{port}: {error.strerror}", remedy)
    return Finding(name, GOOD, f"{host}:{port} is free")


def free(host: str, port: int) -> int:
    """Return a port of `host` that can be listened on: `port`, or any for 0. Raises OSError when it is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: a port that only waits for old connections to time out is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(address)
        return int(probe.getsockname()[1])


async def database(config: Config) -> list[Finding]:
    """Whether a configured database answers, which version it has, and how its schema and clock compare with ours."""
    if config.database.url is None:
        return [Finding("database", GOOD, "embedded PostgreSQL, started and checked together with Levada")]
    import asyncpg

    try:
        connection = await asyncpg.connect(config.database.url, timeout=config.database.connect_timeout)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        why = str(error) or type(error).__name__
        return [Finding("database", BAD, f"cannot connect: {why}", "check database.url and that the server runs")]
    try:
        version = connection.get_server_version()
        findings = [_version(version.major)]
        skew = abs(
            SystemClock().now_us() / 1e6
            - float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
        )
        findings.append(
            Finding("database clock", GOOD, f"{skew:.1f} s from ours")
            if skew < SKEW_S
            else Finding("database clock", DOUBTFUL, f"{skew:.1f} s from ours", "run a time service on both machines")
        )
        findings.append(await _schema(connection))
        return findings
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await connection.close()


def _version(major: int) -> Finding:
    fine = major >= 15
    return Finding(
        "database", GOOD if fine else BAD, f"PostgreSQL {major}", "" if fine else "use PostgreSQL 15 or newer"
    )


async def _schema(connection: Any) -> Finding:
    from levada.store import migrate

    try:
        missing, newer = await migrate.pending(connection), await migrate.unknown(connection)
    except LevadaError as error:
        return Finding("schema", BAD, str(error), "run the release that made it")
    if missing:
        return Finding("schema", DOUBTFUL, f"{len(missing)} migrations are to be done", "run `levada migrate`")
    more = f", and {len(newer)} of a newer release that this one works with" if newer else ""
    return Finding("schema", GOOD, f"{len(migrate.read())} migrations{more}")
