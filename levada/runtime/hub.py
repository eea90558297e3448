"""Announcements of execution changes inside one process.

The executor announces what it committed; request handlers, streams and waiting callers listen. An announcement is a hint
and may be lost (the executor lives in another process, the listener came late): whoever waits reads the store first,
waits here only so long, and reads again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from levada.model.states import State

#: Changes that a slow subscriber may be behind before the oldest are dropped.
BACKLOG = 1000


@dataclass(frozen=True, slots=True)
class Change:
    execution_id: str
    state: State
    terminal: bool


class Hub:
    """Not thread-safe: everything happens on one event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[Change | None]]] = {}
        self._subscribers: dict[str | None, set[_Subscription]] = {}

    def announce(self, execution_id: str, state: State, terminal: bool) -> None:
        """Tell whoever listens. Costs next to nothing when nobody does."""
        waiting = self._waiting.pop(execution_id, None)
        if waiting is None and not self._subscribers:
            return
        change = Change(execution_id, state, terminal)
        for waiter in waiting or ():
            if not waiter.done():
                waiter.set_result(change)
        for key in (execution_id, None):
            for subscription in self._subscribers.get(key, ()):
                subscription.add(change)

    def expect(self, execution_id: str, timeout_s: float) -> asyncio.Future[Change | None]:
        """Listen from now on: a future of the next change, or of None when there was none in time.

        For callers that are about to cause the change. Cancel it when it is no longer wanted.
        """
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Change | None] = loop.create_future()
        self._waiting.setdefault(execution_id, set()).add(waiter)
        timer = loop.call_later(max(timeout_s, 0.0), _give_up, waiter)

        def done(_: object) -> None:
            timer.cancel()
            self._forget(execution_id, waiter)

        waiter.add_done_callback(done)
        return waiter

    async def wait(self, execution_id: str, timeout_s: float) -> Change | None:
        """Return the next change of an execution, or None when there was none in time."""
        return await self.expect(execution_id, timeout_s)

    async def subscribe(self, execution_id: str | None = None) -> AsyncIterator[Change]:
        """Give the changes of one execution, or of all, until the caller stops. The oldest are dropped when it is slow."""
        subscription = _Subscription()
        self._subscribers.setdefault(execution_id, set()).add(subscription)
        try:
            while True:
                yield await subscription.next()
        finally:
            subscribers = self._subscribers[execution_id]
            subscribers.discard(subscription)
            if not subscribers:
                del self._subscribers[execution_id]

    def _forget(self, execution_id: str, waiter: asyncio.Future[Change | None]) -> None:
        waiting = self._waiting.get(execution_id)
        if waiting is not None:
            waiting.discard(waiter)
            if not waiting:
                del self._waiting[execution_id]


class _Subscription:
    def __init__(self) -> None:
        self._changes: deque[Change] = deque(maxlen=BACKLOG)
        self._some = asyncio.Event()

    def add(self, change: Change) -> None:
        self._changes.append(change)
        self._some.set()

    async def next(self) -> Change:
        while not self._changes:
            self._some.clear()
            await self._some.wait()
        return self._changes.popleft()


def _give_up(waiter: asyncio.Future[Change | None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
