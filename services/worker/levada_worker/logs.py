"""Log lines and metrics on their way from attempts to the log store.

`LogBuffer` is one per worker: it gathers entries of all attempts and writes them in batches, at the latest FLUSH_S after
the first. It is bounded: when the store is slow it tells the readers of processes to wait (`crowded`, `when_room`), so a
task that prints gigabytes blocks on its own pipe. `AttemptLog` is one per attempt: it gives lines their identity, hides
secrets, applies the level and the limits, and can write to a file instead.

A log line is never the reason for a task to fail, and never dropped silently: what is dropped is counted and said.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from levada.model.errors import Transient
from levada.model.jobs import LogEntry, MetricEntry

_log = logging.getLogger("levada.worker.logs")

FLUSH_S = 0.1
BATCH_LINES = 500
BATCH_BYTES = 1024 * 1024
CROWDED_LINES = 2_000
CROWDED_BYTES = 4 * 1024 * 1024
#: Tasks written in Python cannot be made to wait in `log`; beyond this their lines are dropped and counted.
FULL_LINES = 50_000
FULL_BYTES = 64 * 1024 * 1024
RETRY_S = (0.1, 0.3, 1.0, 3.0)
LEVELS = {"TRACE": 0, "DEBUG": 1, "INFO": 2, "WARN": 3, "ERROR": 4}


class LogSink(Protocol):
    """Where log lines and metrics go: the log store, or a topic. Raises Transient while it is away."""

    async def write_logs(self, entries: list[LogEntry]) -> None: ...

    async def write_metrics(self, entries: list[MetricEntry]) -> None: ...


class LogBuffer:
    def __init__(self, sink: LogSink) -> None:
        self._sink = sink
        self._entries: list[LogEntry] = []
        self._metrics: list[MetricEntry] = []
        self._bytes = 0
        self._added = 0
        self._written = 0
        self._timer: asyncio.TimerHandle | None = None
        self._drain: asyncio.Task[None] | None = None
        self._flushing: list[tuple[int, asyncio.Future[None]]] = []
        self._waiting: list[Callable[[], None]] = []

    @property
    def crowded(self) -> bool:
        """Whether whoever can wait should, before adding more."""
        return len(self._entries) > CROWDED_LINES or self._bytes > CROWDED_BYTES

    @property
    def full(self) -> bool:
        return len(self._entries) > FULL_LINES or self._bytes > FULL_BYTES

    def when_room(self, callback: Callable[[], None]) -> None:
        """Call back once, when there is room again."""
        self._waiting.append(callback)

    def add(self, entry: LogEntry) -> None:
        self._entries.append(entry)
        self._bytes += len(entry.message) + 200
        self._schedule(len(self._entries) >= BATCH_LINES or self._bytes >= BATCH_BYTES)

    def add_metric(self, entry: MetricEntry) -> None:
        self._metrics.append(entry)
        self._schedule(len(self._metrics) >= BATCH_LINES)

    async def flush(self) -> None:
        """Return when everything that was added before is written."""
        if self._written >= self._added:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flushing.append((self._added, done))
        self._start()
        await done

    async def close(self, timeout_s: float = 5.0) -> None:
        """Write what is left, within the time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.flush()
        except TimeoutError:
            _log.error("%d log lines could not be written in time and are lost", len(self._entries))
        if self._timer is not None:
            self._timer.cancel()
        if self._drain is not None:
            self._drain.cancel()
            await asyncio.gather(self._drain, return_exceptions=True)

    def _schedule(self, now: bool) -> None:
        self._added += 1
        if now:
            self._start()
        elif self._timer is None and self._drain is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._drain is None:
            self._drain = asyncio.get_running_loop().create_task(self._write_all())

    async def _write_all(self) -> None:
        try:
            while self._entries or self._metrics:
                await self._write_batch()
        finally:
            self._drain = None

    async def _write_batch(self) -> None:
        entries, self._entries = self._entries[: 4 * BATCH_LINES], self._entries[4 * BATCH_LINES :]
        metrics, self._metrics = self._metrics, []
        if entries:
            await self._persist(lambda: self._sink.write_logs(entries), len(entries))
        if metrics:
            await self._persist(lambda: self._sink.write_metrics(metrics), len(metrics))
        self._bytes = sum(len(entry.message) + 200 for entry in self._entries) if self._entries else 0
        self._written += len(entries) + len(metrics)
        reached = [future for target, future in self._flushing if target <= self._written]
        self._flushing = [(target, future) for target, future in self._flushing if target > self._written]
        for future in reached:
            if not future.done():
                future.set_result(None)
        if not self.crowded:
            waiting, self._waiting = self._waiting, []
            for callback in waiting:
                callback()

    async def _persist(self, write: Callable[[], Awaitable[None]], count: int) -> None:
        """Write, waiting out a store that is away. A batch that the store refuses is given up, loudly."""
        tries = 0
        while True:
            try:
                await write()
            except Transient as problem:
                pause = RETRY_S[min(tries, len(RETRY_S) - 1)]
                tries += 1
                if tries == 2:
                    _log.warning("the log store is away, log lines wait: %s", problem)
                await asyncio.sleep(pause)
            except Exception:  # noqa: BLE001  one refused batch must not end the log of all other tasks
                _log.exception("the log store refused %d log lines or metrics; they are lost", count)
                return
            else:
                return


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Whose lines these are."""

    execution_id: str
    namespace: str
    flow_id: str
    tenant: str
    task_id: str
    task_run_id: str
    attempt: int
