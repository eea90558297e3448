"""The life of a process: its background tasks, its signals, its orderly end.

A process is a list of named parts, started in the order they are added and stopped in the reverse order, each within its
own deadline and all within one. What a part raises decides what happens: `Transient` means that something outside is away,
and the part is started again with growing pauses; anything else is our defect, so the process stops loudly and `run` raises
it, because a process that lives on without one of its parts looks healthy and does nothing. No exception is lost.

The first SIGINT or SIGTERM asks for an orderly end, a second one for an immediate one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from levada.model.errors import Defect, LevadaError, Transient
from levada.runtime.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_GRACE_S = 30.0
ABORT_GRACE_S = 1.0
"""What is left to each part after `abort`."""
CANCEL_GRACE_S = 5.0
"""How long a part that was cancelled may take to clean up."""

GC_THRESHOLDS = (20_000, 20, 50)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Aborted(LevadaError):
    """Stopped at once, because a second signal asked for it."""


class PartEnded(Defect):
    """A part that should run until it is stopped came to its end."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between starts: doubling from `first_s` up to `longest_s`, each shortened by chance by up to a half."""

    first_s: float = 0.1
    longest_s: float = 30.0
    forget_after_s: float = 60.0
    """A part that ran this long is well again; its next failure is its first."""

    def pause_s(self, failures: int, chance: float) -> float:
        """Return the pause after the n-th failure in a row (1-based), `chance` in [0, 1)."""
        full = min(self.first_s * 2.0 ** min(failures - 1, 30), self.longest_s)
        return full * (1 - chance / 2)


@dataclass(slots=True)
class _Part:
    name: str
    run: Callable[[], Awaitable[None]] | None
    stop: Callable[[], Awaitable[None]] | None
    grace_s: float
    backoff: Backoff
    once: bool
    task: asyncio.Task[None] | None = None
    restarts: int = 0


@dataclass(slots=True)
class Lifecycle:
    """The parts of one process. Add parts, then `run`."""

    clock: Clock
    grace_s: float = DEFAULT_GRACE_S
    on_stopping: Callable[[str], None] | None = None
    """Called first of all when the end begins, with the reason; the place to become unready."""

    _parts: list[_Part] = field(default_factory=list)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _abort: asyncio.Event = field(default_factory=asyncio.Event)
    _reason: str = ""
    _failure: BaseException | None = None
    _running: bool = False

    # --- composing

    def add(
        self,
        name: str,
        run: Callable[[], Awaitable[None]] | None = None,
        *,
        stop: Callable[[], Awaitable[None]] | None = None,
        grace_s: float | None = None,
        backoff: Backoff = Backoff(),
        once: bool = False,
    ) -> None:
        """Add a part; while the process runs, start it at once.

        `run` is its background task, which may be called again after a Transient error. `stop` tells it to end, or closes a
        part without a task; without `stop` the task is cancelled. A task that is not `once` must not end by itself.
        `grace_s` is the longest that the part may take to end; afterwards it is cancelled.
        """
        part = _Part(name, run, stop, self.grace_s if grace_s is None else grace_s, backoff, once)
        self._parts.append(part)
        if self._running and not self.stopping:
            self._start(part)

    @property
    def stopping(self) -> bool:
        """Whether the end has begun."""
        return self._stopping.is_set()

    @property
    def restarts(self) -> dict[str, int]:
        """How often each part was started again."""
        return {part.name: part.restarts for part in self._parts}

    def request_stop(self, reason: str) -> None:
        """Begin the orderly end; a second request changes nothing."""
        if not self.stopping:
            self._reason = reason
            self._stopping.set()

    def abort(self) -> None:
        """End at once: what still runs is cancelled."""
        self.request_stop("aborted")
        self._abort.set()

    async def wait_stopping(self) -> None:
        """Wait until the end has begun."""
        await self._stopping.wait()

    # --- running

    async def run(self, *, handle_signals: bool = True) -> None:
        """Start all parts, wait for the end, stop all parts.

        Returns after an orderly end. Raises what a part raised if that was the reason, Aborted after `abort`.
        """
        with _signals(self) if handle_signals else contextlib.nullcontext():
            self._running = True
            try:
                for part in self._parts:
                    self._start(part)
                await self._stopping.wait()
            finally:
                self.request_stop("cancelled")
                await self._shut_down()
                self._running = False
        if self._failure is not None:
            raise self._failure
        if self._abort.is_set():
            raise Aborted

    def _start(self, part: _Part) -> None:
        if part.run is not None:
            part.task = asyncio.create_task(self._supervise(part, part.run), name=part.name)

    async def _supervise(self, part: _Part, run: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while not self.stopping:
            started = self.clock.monotonic()
            try:
                await run()
                if part.once or self.stopping:
                    return
                raise PartEnded(f"{part.name} ended although nobody stopped it")
            except asyncio.CancelledError:
                if not self.stopping:
                    self._fail(part, PartEnded(f"{part.name} was cancelled although nobody stopped it"))
                raise
            except Transient as error:
                failures = 1 if self.clock.monotonic() - started > part.backoff.forget_after_s else failures + 1
                await self._pause(part, failures, error)
            except Exception as error:  # noqa: BLE001  (the whole point: whatever it is, the process says so and ends)
                self._fail(part, error)
                return

    async def _pause(self, part: _Part, failures: int, error: Transient) -> None:
        if self.stopping:
            log.warning("%s ended while stopping: %s", part.name, error)
            return
        pause_s = part.backoff.pause_s(failures, self.clock.random())
        part.restarts += 1
        log.warning("%s starts again in %.1f s (failure %d in a row): %s", part.name, pause_s, failures, error)
        await _first_of([asyncio.create_task(self.clock.sleep(pause_s)), asyncio.create_task(self._stopping.wait())])

    def _fail(self, part: _Part, error: BaseException) -> None:
        log.critical("%s failed; stopping the process", part.name, exc_info=error)
        self._failure = self._failure or error
        self.request_stop(f"{part.name} failed")

    # --- ending

    async def _shut_down(self) -> None:
        log.info("stopping: %s", self._reason)
        if self.on_stopping is not None:
            self.on_stopping(self._reason)
        deadline = self.clock.monotonic() + self.grace_s
        for part in reversed(self._parts[:]):
            await self._end(part, max(min(part.grace_s, deadline - self.clock.monotonic()), 0.0))
        log.info("stopped")

    async def _end(self, part: _Part, grace_s: float) -> None:
        told = part.stop is not None and await self._told_to_stop(part, part.stop, grace_s)
        if part.task is None:
            return
        if told and not await self._ended_within(part.task, grace_s):
            log.warning("%s did not end within %.1f s; cancelling it", part.name, grace_s)
        if not part.task.done():
            part.task.cancel()
            _, pending = await asyncio.wait([part.task], timeout=CANCEL_GRACE_S)
            if pending:
                log.error("%s does not end; leaving it behind", part.name)

    async def _told_to_stop(self, part: _Part, stop: Callable[[], Awaitable[None]], grace_s: float) -> bool:
        """Call `stop` within the deadline; return whether it came to its end without an error."""
        telling = asyncio.ensure_future(stop())
        if not await self._ended_within(telling, max(grace_s, ABORT_GRACE_S)):
            log.warning("%s was not told to stop within %.1f s", part.name, grace_s)
            telling.cancel()
            await asyncio.wait([telling], timeout=CANCEL_GRACE_S)
            return False
        if not telling.cancelled() and (error := telling.exception()) is not None:
            log.error("%s failed to stop", part.name, exc_info=error)
            self._failure = self._failure or error
            return False
        return True

    async def _ended_within(self, task: asyncio.Future[None], seconds: float) -> bool:
        """Wait for a task, but no longer than `seconds`, and after `abort` no longer than that leaves."""
        abort = asyncio.create_task(self._abort.wait())
        either: set[asyncio.Future[Any]] = {abort, task}
        await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        abort.cancel()
        if not task.done() and self._abort.is_set():
            await asyncio.wait([task], timeout=min(ABORT_GRACE_S, seconds))
        return task.done()


async def _first_of(tasks: list[asyncio.Task[Any]]) -> None:
    """Wait until one of the tasks has ended and cancel the others, also when the wait itself is cancelled."""
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait until `stop` is set, but no longer than `seconds`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


@contextlib.contextmanager
def _signals(lifecycle: Lifecycle) -> Iterator[None]:
    loop = asyncio.get_running_loop()

    def heard(number: signal.Signals) -> None:
        if lifecycle.stopping:
            log.warning("%s again: ending at once", number.name)
            lifecycle.abort()
        else:
            lifecycle.request_stop(number.name)

    for number in SIGNALS:
        loop.add_signal_handler(number, heard, number)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def run_process(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a program's coroutine on the fastest loop there is. What the loop itself has to complain about is logged."""
    try:
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] | None = uvloop.new_event_loop
    except ImportError:  # Windows
        factory = None
    # Large executions live long: the collector would walk them again and again with its usual thresholds.
    gc.set_threshold(*GC_THRESHOLDS)
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.get_loop().set_exception_handler(_loop_complaint)
        return runner.run(main())


def _loop_complaint(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what nobody awaited: an exception in a callback or in a task that was dropped."""
    log.error("event loop: %s", context.get("message", "unknown error"), exc_info=context.get("exception"))
