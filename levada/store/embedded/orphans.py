"""Servers that an owner left behind when it was killed.

A server is a child in its own session: it outlives an owner that dies by SIGKILL. Its next owner, holding the data
folder's lock, takes it down before it starts its own. Processes are recognised by the cluster's mark in their command
line and never by the number in `postmaster.pid` alone: numbers are used again, and where nobody reaps them a dead
postmaster stays in the process table and looks alive to Postgres itself, which would then refuse to start for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from levada.store.embedded.cluster import PORT, Home
from levada.store.embedded.errors import EmbeddedPostgresError

log = logging.getLogger(__name__)

FAST_STOP_S = 15.0
IMMEDIATE_STOP_S = 5.0


async def sweep(home: Home, socket_dir: Path) -> None:
    """End every process of this cluster and remove the marks that they left.

    Only the holder of the data folder's lock may call this. Raises EmbeddedPostgresError when a process does not end.
    """
    if processes(home):
        await _take_down(home)
    # Nothing runs on these files: what Postgres would read as "already running" is stale, whatever number it names.
    home.pid_file.unlink(missing_ok=True)
    for name in (f".s.PGSQL.{PORT}", f".s.PGSQL.{PORT}.lock"):
        (socket_dir / name).unlink(missing_ok=True)


def processes(home: Home) -> list[int]:
    """Return the ids of the living processes of this cluster, whoever started them."""
    mark = home.mark
    return [pid for pid, command in _command_lines() if mark in command and _is_postgres(command)]


async def _take_down(home: Home) -> None:
    """Stop politely, then firmly. Without a postmaster its children end by themselves, in milliseconds."""
    for number, patience_s in ((signal.SIGINT, FAST_STOP_S), (signal.SIGQUIT, IMMEDIATE_STOP_S), (signal.SIGKILL, 5.0)):
        pids = processes(home)
        postmaster = _postmaster(home)
        targets = pids if number == signal.SIGKILL else [pid for pid in pids if pid == postmaster]
        if pids:
            log.warning(
                "PostgreSQL of an earlier run is still there (%s); sending %s to %s", pids, number.name, targets
            )
        for pid in targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if await _gone_within(home, patience_s if targets else 1.0):
            return
    raise EmbeddedPostgresError(
        f"PostgreSQL processes {processes(home)} of an earlier run hold {home.data} and do not end; stop them by hand."
    )


async def _gone_within(home: Home, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while processes(home):
        if loop.time() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def _postmaster(home: Home) -> int | None:
    try:
        return int(home.pid_file.read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def _is_postgres(command: str) -> bool:
    """The postmaster's command line starts with its path, that of its children with `postgres: `."""
    return os.path.basename(command.split("\0", 1)[0].split(" ", 1)[0]).rstrip(":") == "postgres"


def _command_lines() -> Iterator[tuple[int, str]]:
    """Yield every process that runs, with its arguments joined by zero bytes or spaces. A zombie has none."""
    if not os.path.isdir("/proc/self"):
        listing = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=True).stdout
        for line in listing.splitlines():
            pid, _, command = line.strip().partition(" ")
            yield int(pid), command
        return
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
                yield int(name), Path("/proc", name, "cmdline").read_bytes().decode(errors="replace")
