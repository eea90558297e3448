"""The files of the cluster and the command line that serves them.

Everything lives under `home` (`<data folder>/postgres`): `data` is the cluster, `server.log` what the server prints, `run`
the socket. The server's settings stand on its command line, so that a new release of Levada changes them without editing
files, and a look at the process shows them. Durability is never traded: `fsync` and `synchronous_commit` stay on.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from levada.store.embedded.binaries import Binaries
from levada.store.embedded.errors import EmbeddedPostgresError

DATABASE = "levada"
SUPERUSER = "postgres"
PORT = 5432
"""Only a part of the socket's name; the server listens on no network."""

LONGEST_SOCKET_PATH = 107
"""Bytes of a Unix socket's path on Linux, without the final zero (macOS: 103)."""

LARGEST_LOG_BYTES = 8 << 20

SETTINGS: Mapping[str, str] = {
    # Durability: as strict as a server that somebody else runs.
    "fsync": "on",
    "synchronous_commit": "on",
    # Nobody replicates from an embedded server.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    # Memory: the server shares a laptop with its only client.
    "shared_buffers": "128MB",
    "max_connections": "120",
    "max_worker_processes": "4",
    "max_parallel_workers_per_gather": "0",
    "dynamic_shared_memory_type": "mmap",
    "jit": "off",
    # Fewer checkpoints, spread out: each makes the next change of every page twice as expensive.
    "checkpoint_timeout": "10min",
    "max_wal_size": "1GB",
    "random_page_cost": "1.1",
    # Queue-like tables live from prompt vacuuming.
    "autovacuum_naptime": "15s",
    "autovacuum_max_workers": "2",
    "max_locks_per_transaction": "256",
    # A client that was killed must not hold its locks until the kernel notices.
    "client_connection_check_interval": "10s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A statement that fails is the client's error, and the client reports it.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}

SETTINGS_SINCE: Mapping[int, Mapping[str, str]] = {
    18: {"io_method": "sync"},  # three I/O worker processes less; reads come from memory here
}


@dataclass(frozen=True, slots=True)
class Home:
    """Where the parts of an embedded server are."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    @property
    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    @property
    def mark(self) -> str:
        """A name that only the processes of this cluster carry in their command lines."""
        return f"levada-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]}"

    def made_by(self) -> int | None:
        """Return the major version that made the cluster; None when there is no cluster yet."""
        try:
            return int((self.data / "PG_VERSION").read_text().strip())
        except FileNotFoundError:
            return None


def initdb_command(binaries: Binaries, folder: Path) -> list[str]:
    """Return the command that makes a cluster in an empty folder, written to disk when it returns.

    The collation must sort alike on every machine and after every upgrade of its C library.
    """
    if binaries.major >= 17:
        locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    else:
        locale = ["--locale=C" if sys.platform == "darwin" else "--locale=C.UTF-8"]
    return [
        binaries.initdb,
        f"--pgdata={folder}",
        f"--username={SUPERUSER}",
        "--auth-local=trust",  # who reaches the socket's private folder is us
        "--auth-host=scram-sha-256",
        "--encoding=UTF8",
        "--no-instructions",
        *locale,
    ]


def server_command(binaries: Binaries, home: Home, socket_dir: Path, overrides: Mapping[str, str]) -> list[str]:
    """Return the command line of the server: a private socket, no network, our settings, then the caller's."""
    settings = {**SETTINGS, "cluster_name": home.mark, "update_process_title": "on"}
    for major, since in SETTINGS_SINCE.items():
        if binaries.major >= major:
            settings.update(since)
    settings.update(overrides)
    command = [binaries.postgres, "-D", str(home.data), "-h", "", "-k", str(socket_dir), "-p", str(PORT)]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    return command


def socket_dir(home: Home) -> Path:
    """Make the private folder of the socket and return it: in the data folder, or a short one when that is too deep."""
    folder = home.folder / "run"
    if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) > LONGEST_SOCKET_PATH - 4:
        folder = Path(tempfile.gettempdir()) / home.mark
        if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) > LONGEST_SOCKET_PATH - 4:
            folder = Path("/tmp") / home.mark
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or (os.geteuid() != 0 and found.st_uid != os.geteuid()):
        raise EmbeddedPostgresError(f"{folder} must be a folder of ours for PostgreSQL's socket; remove what is there.")
    folder.chmod(0o700)
    return folder


def dsn(socket_dir: Path, database: str = DATABASE) -> str:
    """Return the address of a database behind the socket, as asyncpg and libpq read it."""
    return f"postgresql://{SUPERUSER}@/{quote(database)}?host={quote(str(socket_dir), safe='')}"


def state(home: Home, pid: int) -> str:
    """Return what the server says of itself: '', 'starting', 'ready' or 'stopping'."""
    try:
        lines = home.pid_file.read_text().splitlines()
    except FileNotFoundError:
        return ""
    return lines[7].strip() if len(lines) > 7 and lines[0].strip() == str(pid) else ""


def open_log(home: Home) -> int:
    """Open the server's log for appending and return its descriptor; a log grown too large becomes `server.log.1`."""
    if home.log.exists() and home.log.stat().st_size > LARGEST_LOG_BYTES:
        home.log.replace(home.log.with_name("server.log.1"))
    return os.open(home.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def log_since(home: Home, offset: int) -> str:
    """Return the last lines that the server printed after `offset`."""
    with home.log.open("rb") as log:
        log.seek(max(offset, home.log.stat().st_size - 2000))
        return log.read().decode(errors="replace").strip()
