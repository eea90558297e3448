"""Questions that stay open until there is an answer, or nobody there to get it.

A client that goes away says nothing to the handler of its request, so the connections of all open questions are looked at
a few times a second, by one task that runs only while there are any. A question whose asker is gone is cancelled: who
looks for work must not find some for somebody who will never hear of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from aiohttp import web

from levada.model.errors import Transient
from levada.runtime import metrics

T = TypeVar("T")

WATCH_S = 0.1


class Gone(Transient):
    """The worker that asked is not there any more."""


class Polls:
    """The open questions of one api process."""

    def __init__(self) -> None:
        self._open: dict[asyncio.Future[Any], web.BaseRequest] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def wait(self, request: web.BaseRequest, asked: Awaitable[T], *, counted: bool = False) -> T:
        """Return the answer. Raises Gone when the asker went away before. `counted`: it shows as a waiting worker."""
        answer = asyncio.ensure_future(asked)
        self._open[answer] = request
        if counted:
            metrics.GATEWAY_WAITING.inc()
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch(), name="gateway-watch")
        try:
            await _settled(answer)
            if answer.cancelled():
                raise Gone
            return answer.result()
        finally:
            answer.cancel()
            del self._open[answer]
            if counted:
                metrics.GATEWAY_WAITING.inc(by=-1)

    async def _watch(self) -> None:
        while self._open:
            for answer, request in list(self._open.items()):
                if gone(request):
                    answer.cancel()
            await asyncio.sleep(WATCH_S)


async def _settled(answer: asyncio.Future[T]) -> None:
    """Wait for the answer. Being cancelled in the very moment it came must not lose it: somebody has to give it back."""
    try:
        await asyncio.wait([answer])
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not answer.done() or answer.cancelled() or task is None:
            raise
        task.uncancel()


def gone(request: web.BaseRequest) -> bool:
    """Whether the connection of a request is closed."""
    return request.transport is None or request.transport.is_closing()
