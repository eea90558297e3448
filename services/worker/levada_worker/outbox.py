"""Results on their way to the control plane: kept on disk until they are accepted.

A finished task may have changed the world; its result must not be lost because the control plane is away or this process
is ended. So a batch that is not accepted at once (SPOOL_AFTER_S) is appended to a synced file while the report is tried
again and again; what has no answer at the end of the process is written there too; and after a restart whatever the file
holds is reported first. A result that arrives twice, or too late, is refused by the engine (attempt and token), not here.

Progress of children is only worth something while it is fresh: it is reported with the results but not kept on disk.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from levada.jobs.port import Jobs
from levada.model import commands
from levada.model.commands import TaskFinished, TaskProgressed
from levada.model.errors import Transient, UserError

_log = logging.getLogger("levada.worker.outbox")

BATCH = 500
SPOOL_AFTER_S = 0.05
"""Syncing a file takes about as long as a healthy control plane takes to answer: not worth doing for every result."""
RETRY_S = (0.05, 0.2, 0.5, 1.0, 2.0)

Accepted = Callable[[TaskFinished], None]


class Outbox:
    """One per worker. `accepted` is called for every result that the control plane has."""

    def __init__(self, jobs: Jobs, spool: Path, accepted: Accepted) -> None:
        self._jobs = jobs
        self._path = spool
        self._accepted = accepted
        self._waiting: list[TaskFinished | TaskProgressed] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._file: int | None = None
        self._spooled = False
        self._batch: list[TaskFinished | TaskProgressed] = []

    def open(self) -> int:
        """Open the spool and take over what an earlier life of this worker left; return how many results."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        left = _read(self._path)
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        for result in left:
            self._waiting.append(result)
        if left:
            self._spooled = True
            self._idle.clear()
            self._wake.set()
        return len(left)

    def put(self, result: TaskFinished | TaskProgressed) -> None:
        self._waiting.append(result)
        self._idle.clear()
        self._wake.set()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                self._batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                await self._hand_in(self._batch)
                for one in self._batch:
                    if isinstance(one, TaskFinished):
                        self._accepted(one)
                self._batch = []
            self._forget()
            self._idle.set()

    async def drained(self) -> None:
        """Return when nothing is waiting any more."""
        await self._idle.wait()

    def close(self) -> None:
        """Write down what has no answer yet. Call it when `run` has ended. Blocks shortly."""
        if self._file is None:
            return
        data = _lines([*self._batch, *self._waiting])
        if data:
            _append(self._file, data)
        os.close(self._file)
        self._file = None

    async def _hand_in(self, batch: list[TaskFinished | TaskProgressed]) -> None:
        reporting = asyncio.create_task(self._report(batch))
        try:
            await asyncio.wait([reporting], timeout=SPOOL_AFTER_S)
            data = b"" if reporting.done() or self._file is None else _lines(batch)
            if data and self._file is not None:
                self._spooled = True
                await asyncio.to_thread(_append, self._file, data)
            await reporting
        finally:
            reporting.cancel()

    async def _report(self, batch: list[TaskFinished | TaskProgressed]) -> None:
        tries = 0
        while True:
            try:
                await self._jobs.report(batch)
            except Transient as problem:
                pause = RETRY_S[min(tries, len(RETRY_S) - 1)]
                tries += 1
                if tries == 3:
                    _log.warning("%d results wait: %s", len(batch), problem)
                await asyncio.sleep(pause)
            except UserError:
                _log.exception("the control plane refuses a batch of %d results", len(batch))
                return
            else:
                return

    def _forget(self) -> None:
        """Everything is accepted. A crash before this line only makes results arrive twice."""
        if self._spooled and self._file is not None:
            os.ftruncate(self._file, 0)
            self._spooled = False


def _lines(batch: Sequence[TaskFinished | TaskProgressed]) -> bytes:
    return b"".join(commands.encode(one) + b"\n" for one in batch if isinstance(one, TaskFinished))


def _append(handle: int, data: bytes) -> None:
    os.write(handle, data)
    os.fdatasync(handle)


def _read(path: Path) -> list[TaskFinished]:
    """Return the results of the file; a torn last line (crash while writing) is a result never confirmed: skipped."""
    found: dict[tuple[str, str], TaskFinished] = {}
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            command = commands.decode(line)
        except msgspec.DecodeError:
            _log.warning("a spooled result cannot be read and is skipped: %r", line[:200])
            continue
        if isinstance(command, TaskFinished):
            found[command.task_run_id, command.token] = command
    return list(found.values())
