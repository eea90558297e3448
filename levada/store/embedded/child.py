"""A child process that is waited for on any event loop.

A thread per child does the waiting: asyncio's own ways differ between loops and Python versions (uvloop knows no `user`),
and a dead server that nobody reaps would look alive to the next one. The child gets its own session, so that Ctrl-C in
the terminal reaches Levada only and Levada decides when the database stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

from levada.store.embedded.privilege import Launcher


class Child:
    """One running process: its pid, its end, and signals to it."""

    def __init__(self, launcher: Launcher, command: Sequence[str], output: IO[bytes]) -> None:
        """Start `command` with both its streams going to `output`. Raises OSError when it cannot be started."""
        self._loop = asyncio.get_running_loop()
        self._exit: asyncio.Future[int] = self._loop.create_future()
        self._popen = subprocess.Popen(
            [*launcher.prefix, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_environment(),
            start_new_session=True,
            user=launcher.uid,
            group=launcher.gid,
            extra_groups=None if launcher.uid is None else [],
        )
        self.pid = self._popen.pid
        threading.Thread(target=self._reap, name=f"wait-{self.pid}", daemon=True).start()

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._exit.result() if self._exit.done() else None

    async def wait(self) -> int:
        """Wait for the end and return the exit code. Cancelling the wait does not touch the process."""
        return await asyncio.shield(self._exit)

    async def ended_within(self, seconds: float) -> bool:
        """Wait for the end, but no longer than `seconds`."""
        done, _ = await asyncio.wait([self._exit], timeout=seconds)
        return bool(done)

    def signal(self, number: int) -> None:
        """Send a signal; a process that has ended gets none."""
        self._popen.send_signal(number)

    def wait_blocking(self, seconds: float) -> bool:
        """Wait without an event loop, for the last moments of the interpreter."""
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _reap(self) -> None:
        code = self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop was closed before the child ended: nobody waits any more
            self._loop.call_soon_threadsafe(self._ended, code)

    def _ended(self, code: int) -> None:
        if not self._exit.done():
            self._exit.set_result(code)


class Guard:
    """Tells a process to stop when we are gone, however we went: even SIGKILL closes the pipe that the guard reads."""

    def __init__(self, pid: int) -> None:
        """Watch over `pid`. Raises OSError where there is no shell; then the next owner cleans up (see `orphans`)."""
        self._popen = subprocess.Popen(
            ["/bin/sh", "-c", f"read _; kill -INT {pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """End the guard; must be called when the process has ended, before its number can belong to another."""
        self._popen.kill()
        self._popen.wait()
        if self._popen.stdin is not None:
            self._popen.stdin.close()


async def run(launcher: Launcher, command: Sequence[str]) -> tuple[int, str]:
    """Run a command to its end and return its exit code and output.

    When the caller is cancelled the command and all that it started are killed, and gone on return.
    """
    with tempfile.TemporaryFile() as output:
        child = Child(launcher, command, output)
        try:
            code = await child.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # its session's leader is its group's too
            await child.ended_within(5.0)
            raise
        output.seek(0)
        return code, output.read().decode(errors="replace").strip()


def _environment() -> dict[str, str]:
    """Our environment without what would redirect Postgres: PGDATA, PGPORT, PGHOST and the like."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG") and name != "LC_ALL"}
