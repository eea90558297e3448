"""Workers that wait, served together: one question to the queue for all who wait for the same in this process.

Used for work, and for attempts that shall stop. What follows speaks of work.

Every `claim` is a want: so many free slots, of these queues, with these tags. Wants of one kind are looked for with a
single statement, and what it finds is shared out so that whoever has most slots left gets the next one. Nobody gets more
than the slots it waits with, so an attempt never waits behind another one in a worker's hands.

Whoever leaves while a look is under way (its timeout, its connection, its process) must not take an attempt along: a
timeout waits for that look, and what was found for somebody who was cancelled is given back at once.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from levada.model.errors import Transient

log = logging.getLogger(__name__)

T = TypeVar("T")

#: What a worker waits for: its queues and the tags it carries.
Kind = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(eq=False, slots=True)
class Want(Generic[T]):
    """One worker that waits. `busy`: a look for it is under way; `leaving`: the next answer is the last."""

    worker: str
    kind: Kind
    limit: int
    answer: asyncio.Future[list[T]] = field(repr=False)
    looked: bool = False
    busy: bool = False
    leaving: bool = False


Dealt = Sequence[tuple[Want[T], list[T]]]


class Table(Protocol[T]):
    """Where it comes from."""

    async def deal(self, kind: Kind, wants: Sequence[Want[T]]) -> list[list[T]]:
        """Look once: what is for the n-th worker at place n."""

    async def announce(self, dealt: Dealt[T]) -> None:
        """Called before anybody gets what was dealt: tell the executor."""

    async def give_back(self, unwanted: Sequence[T]) -> None:
        """Let somebody else have what nobody here wants any more."""


class Dealer(Generic[T]):
    """Everybody who waits in one process. A task of its own runs while there is anybody."""

    def __init__(self, table: Table[T], *, busy_poll_s: float, idle_poll_s: float) -> None:
        """Without a `notify` it looks again after `busy_poll_s`, then seldomer, down to every `idle_poll_s`."""
        self._table = table
        self._busy_poll_s = busy_poll_s
        self._idle_poll_s = idle_poll_s
        self._signal = Signal()
        self._all_due = True
        self._wants: list[Want[T]] = []
        self._runner: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._closed = False
        #: How often the queue was asked.
        self.looks = 0

    async def wait(
        self, worker: str, queues: Sequence[str], tags: Collection[str], limit: int, timeout_s: float
    ) -> list[T]:
        """Return up to `limit` of them as soon as there is one; nothing after `timeout_s`, when at least one look was made."""
        if limit <= 0 or not queues or self._closed:
            return []
        answer: asyncio.Future[list[T]] = asyncio.get_running_loop().create_future()
        want = Want(worker, (tuple(sorted(set(queues))), tuple(sorted(set(tags)))), limit, answer)
        self._wants.append(want)
        self._arrived()
        try:
            await asyncio.wait([answer], timeout=timeout_s)
            if not answer.done() and not self._leave(want):
                await asyncio.wait([answer])
        except asyncio.CancelledError:
            self._leave(want)
            answer.cancel()
            raise
        return answer.result()

    def notify(self) -> None:
        """Something was submitted: look for everybody, now."""
        self._all_due = True
        self._signal.give()

    async def close(self) -> None:
        """Send everybody away with nothing; what was found already still arrives."""
        self._closed = True
        for want in self._wants:
            if not want.busy and not want.answer.done():
                want.answer.set_result([])
        self._signal.give()
        pending = [task for task in (self._runner, *self._background) if task is not None]
        await asyncio.gather(*pending, return_exceptions=True)

    def _leave(self, want: Want[T]) -> bool:
        """Let the want go. False: a look for it is under way or still to come, and its answer must be awaited."""
        if want.busy or not want.looked:
            want.leaving = True
            return False
        want.answer.set_result([])
        return True

    def _arrived(self) -> None:
        self._signal.give()
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run(), name="jobs-dealer")

    async def _run(self) -> None:
        pause_s = self._busy_poll_s
        while self._still_waiting() and not self._closed:
            seen = self._signal.given
            found = await self._look()
            if found or any(not want.looked for want in self._wants):
                pause_s = self._busy_poll_s
            if not await self._signal.after(seen, pause_s):
                self._all_due = True
                pause_s = min(pause_s * 2, self._idle_poll_s)

    def _still_waiting(self) -> list[Want[T]]:
        self._wants = [want for want in self._wants if not want.answer.done()]
        return self._wants

    async def _look(self) -> bool:
        """Look for those who have not been looked for, and for all when something new may be there."""
        everybody, self._all_due = self._all_due, False
        kinds: dict[Kind, list[Want[T]]] = {}
        for want in self._wants:
            kinds.setdefault(want.kind, []).append(want)
        due = [(k, wants) for k, wants in kinds.items() if everybody or any(not want.looked for want in wants)]
        return any([await self._serve(kind, wants) for kind, wants in due])

    async def _serve(self, kind: Kind, wants: list[Want[T]]) -> bool:
        for want in wants:
            want.busy = True
        self.looks += 1
        try:
            found = await self._table.deal(kind, wants)
        except Exception as error:  # noqa: BLE001  it belongs to those who asked; the dealer must live on
            _fail(wants, error)
            return False
        dealt = [(want, claims) for want, claims in zip(wants, found, strict=True) if claims]
        served = {id(want) for want, _ in dealt}
        self._wants = [want for want in self._wants if id(want) not in served]
        for want in wants:
            want.looked = True
            want.busy = id(want) in served
            if want.leaving and not want.busy and not want.answer.done():
                want.answer.set_result([])
        if dealt:
            self._spawn(self._hand_out(dealt))
        return bool(dealt)

    async def _hand_out(self, dealt: Dealt[T]) -> None:
        try:
            await self._table.announce(dealt)
        except Exception as error:  # noqa: BLE001  as above
            _fail([want for want, _ in dealt], error)
            return
        left: list[T] = []
        for want, claims in dealt:
            if want.answer.done():
                left += claims
            else:
                want.answer.set_result(claims)
        if left:
            await self._return(left)

    async def _return(self, claims: Sequence[T]) -> None:
        try:
            await self._table.give_back(claims)
        except Transient as error:
            log.warning("%d attempts of workers that left wait for the end of their leases: %s", len(claims), error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _fail(wants: Sequence[Want[Any]], error: Exception) -> None:
    for want in wants:
        if not want.answer.done():
            want.answer.set_exception(error)


def shared_out(limits: Sequence[int]) -> list[int]:
    """Return who gets the n-th: the place of whoever has most slots left at that time, the first of equals first."""
    left = [(-limit, place) for place, limit in enumerate(limits) if limit > 0]
    heapq.heapify(left)
    order = []
    while left:
        free, place = left[0]
        order.append(place)
        if free == -1:
            heapq.heappop(left)
        else:
            heapq.heapreplace(left, (free + 1, place))
    return order


class Signal:
    """Wakes whoever waits; a signal given while somebody was looking is not lost on them."""

    def __init__(self) -> None:
        self.given = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def give(self) -> None:
        self.given += 1
        for waiter in self._waiting:
            _wake(waiter)

    async def after(self, seen: int, seconds: float) -> bool:
        """Return when a signal was given after the `seen`-th (True), or after `seconds` (False)."""
        if self.given != seen:
            return True
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiting.add(waiter)
        timer = loop.call_later(seconds, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiting.discard(waiter)
        return self.given != seen


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
