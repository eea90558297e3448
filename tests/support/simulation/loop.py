"""An event loop whose time is a number, and processes on it that can be frozen and killed at any await.

Nothing ever waits: when no callback is ready, time jumps to the next timer. Callbacks belong to the `Process` in whose
context they were made; those of a frozen process are kept until it is thawed, as SIGSTOP would do. A killed process is
cut off from the world at that instant: every port refuses it, its clock-work only unwinds, and nothing it does counts.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

from levada.model.errors import Transient

PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
KEPT_TASKS = 200


class Stuck(Exception):
    """Nothing is ready and no timer is set: the simulated world stands still for ever."""


class Gone(Transient):
    """The simulated process does not exist any more."""


class Process:
    """One simulated operating system process. `offset_us` is how far its wall clock is off."""

    def __init__(self, loop: VirtualLoop, name: str) -> None:
        self.loop = loop
        self.name = name
        self.dead = False
        self.frozen = False
        #: Virtual time until which the network of this process swallows everything.
        self.cut_until = 0.0
        self.offset_us = 0
        self.died_at: float | None = None
        #: (begin, end) of every freeze.
        self.freezes: list[tuple[float, float]] = []
        self.on_death: list[Callable[[], None]] = []
        self._parked: list[asyncio.Handle] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as a part of this process; whatever it spawns belongs to the process too."""
        context = copy_context()
        context.run(PROCESS.set, self)
        return self.loop.create_task(coroutine, context=context)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        self._tasks.append(task)
        if len(self._tasks) > KEPT_TASKS:
            self._tasks = [one for one in self._tasks if not one.done()]
        if self.dead:
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    def park(self, handle: asyncio.Handle) -> None:
        self._parked.append(handle)

    def freeze(self) -> None:
        if not self.frozen and not self.dead:
            self.frozen = True
            self.freezes.append((self.loop.time(), float("inf")))

    def thaw(self) -> None:
        if self.frozen:
            self.frozen = False
            self.freezes[-1] = (self.freezes[-1][0], self.loop.time())
            parked, self._parked = self._parked, []
            self.loop.resume(parked)

    def kill(self) -> None:
        """End it between two instructions: what it has written stays, what it was about to do never happens."""
        if self.dead:
            return
        self.dead = True
        self.died_at = self.loop.time()
        for told in self.on_death:
            told()
        self.thaw()
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            task.cancel()

    def check(self) -> None:
        if self.dead:
            raise Gone(f"{self.name} is dead")


class _Handle(events.Handle):
    """A callback; unlike asyncio's it is kept for later when its process is frozen."""

    __slots__ = ("_process",)

    def __init__(self, callback: Callable[..., Any], args: Any, loop: VirtualLoop, context: Context | None) -> None:
        # What asyncio's own does, without its look at debug mode: this is the hottest line of the simulation.
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._process: Process | None = self._context.get(PROCESS)

    def cancel(self) -> None:
        self._cancelled = True
        self._callback = self._args = None

    def _run(self) -> None:
        process = self._process
        if process is not None and process.frozen:
            process.park(self)
            return
        try:
            self._context.run(self._callback, *self._args)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as problem:  # noqa: BLE001  as asyncio does: the loop's handler hears of it
            told = {"message": f"Exception in callback {self._callback}", "exception": problem, "handle": self}
            self._loop.call_exception_handler(told)


class _TimerHandle(_Handle):
    __slots__ = ("_when",)

    def when(self) -> float:
        return self._when


class VirtualLoop(asyncio.BaseEventLoop):
    """Deterministic: no threads (what goes to one runs at once), no files to watch, no signals. Timers of the same moment
    are run in the order in which they were set."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._timers: list[tuple[float, int, _TimerHandle]] = []
        self._timers_set = 0
        self.set_task_factory(_adopted)

    def time(self) -> float:
        return self.now

    def passing(self, seconds: float) -> asyncio.Future[None]:
        """Return what is done after so much time; `asyncio.sleep` without its ceremony."""
        future: asyncio.Future[None] = self.create_future()
        self.call_at(self.now + seconds, _wake, future)
        return future

    def resume(self, handles: list[asyncio.Handle]) -> None:
        self._ready.extend(handle for handle in handles if not handle.cancelled())  # type: ignore[attr-defined]

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as problem:  # noqa: BLE001  it belongs to whoever awaits the future
            future.set_exception(problem)
        return future

    def call_later(
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = _TimerHandle(callback, args, self, context)
        timer._when = when
        self._timers_set += 1
        heapq.heappush(self._timers, (when, self._timers_set, timer))
        return timer  # type: ignore[return-value]

    def _run_once(self) -> None:
        """Run what is ready; when nothing is, jump to the next timer first. In place of asyncio's, which asks the kernel."""
        ready, timers = self._ready, self._timers  # type: ignore[attr-defined]
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not ready:
            if not timers:
                raise Stuck("nothing is ready and no timer is set")
            self.now = max(self.now, timers[0][0])
        while timers and timers[0][0] <= self.now:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def _write_to_self(self) -> None:
        pass


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _adopted(loop: asyncio.AbstractEventLoop, coroutine: Any, context: Context | None = None) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, context=context)
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is not None:
        process.adopt(task)
    return task
