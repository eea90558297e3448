"""The broker's process, and the promise that it never outlives us.

A pipe makes the promise: a shell reads from it, and when we are gone, however we went, the read ends and the shell stops the
broker. (The kernel's own way, a signal at the parent's death, fires when the thread that started the child ends.) The
process also inherits the lock on its folder, so that nobody runs a second broker there while an orphan is still stopping.

Nothing here belongs to an event loop: the end is looked for, not waited for, so one loop may start what another one stops.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

LOOK_EVERY_S = 0.02
ORPHAN_STOP_S = 5

GUARD = (
    "read _; kill -CONT {pid} 2>/dev/null; kill -TERM {pid} 2>/dev/null || exit 0; "
    "n=0; while kill -0 {pid} 2>/dev/null && [ $n -lt {seconds} ]; do sleep 1; n=$((n + 1)); done; "
    "kill -KILL {pid} 2>/dev/null"
)


class Process:
    """One running program in a session of its own, so that Ctrl-C in the terminal is our business, not the broker's."""

    def __init__(self, command: Sequence[str], log: Path, inherited: Sequence[int]) -> None:
        """Start it with its output going to `log`. Raises OSError when it cannot be started."""
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=tuple(inherited),
            )
        self.pid = self._popen.pid
        try:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", GUARD.format(pid=self.pid, seconds=ORPHAN_STOP_S)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            self._popen.kill()
            self._popen.wait()
            raise

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        code = self._popen.poll()
        if code is not None:
            self._dismiss_guard()
        return code

    async def ended_within(self, seconds: float) -> bool:
        """Wait for the end, but no longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while self.exit_code is None:
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(LOOK_EVERY_S)
        return True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended gets none."""
        self._popen.send_signal(number)

    def _dismiss_guard(self) -> None:
        """End the guard, before the broker's process number can belong to another."""
        if self._guard.poll() is None:
            self._guard.kill()
            self._guard.wait()
        if self._guard.stdin is not None:
            self._guard.stdin.close()
