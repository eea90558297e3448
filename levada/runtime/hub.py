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
        self._waiting: dict[str, set[_Waiter]] = {}
        self._subscribers: dict[str | None, set[_Subscription]] = {}

    def announce(self, execution_id: str, state: State, terminal: bool) -> None:
        """Tell whoever listens. Costs next to nothing when nobody does."""
        waiting = self._waiting.get(execution_id)
        if waiting is None and not self._subscribers:
            return
        change = Change(execution_id, state, terminal)
        for waiter in waiting or ():
            waiter.tell(change)
        for key in (execution_id, None):
            for subscription in self._subscribers.get(key, ()):
                subscription.add(change)

    def expect(self, execution_id: str, timeout_s: float) -> asyncio.Future[Change | None]:
        """Listen from now on: a future of the next change, or of None when there was none in time.

        Of changes announced together, as those of one batch are, it is the last. For callers that are about to cause the
        change; cancel the future when it is no longer wanted.
        """
        waiter = _Waiter(timeout_s)
        self._waiting.setdefault(execution_id, set()).add(waiter)
        waiter.future.add_done_callback(lambda _: self._forget(execution_id, waiter))
        return waiter.future

    async def wait(self, execution_id: str, timeout_s: float) -> Change | None:
        """Return the next change of an execution, or None when there was none in time; see `expect`."""
        return await self.expect(execution_id, timeout_s)

    def _forget(self, execution_id: str, waiter: _Waiter) -> None:
        waiter.timer.cancel()
        waiting = self._waiting.get(execution_id, set())
        waiting.discard(waiter)
        if not waiting:
            self._waiting.pop(execution_id, None)

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


class _Waiter:
    def __init__(self, timeout_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._change: Change | None = None
        self.future: asyncio.Future[Change | None] = self._loop.create_future()
        self.timer = self._loop.call_later(max(timeout_s, 0.0), self._give)

    def tell(self, change: Change) -> None:
        # Given a moment later: what is announced in the same breath replaces it.
        if self._change is None:
            self._loop.call_soon(self._give)
        self._change = change

    def _give(self) -> None:
        if not self.future.done():
            self.future.set_result(self._change)


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
