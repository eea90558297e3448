"""Requests that stay open: event streams and callers that wait for an end.

They would outlive every orderly stop, so they are known here and asked to end when the service stops. What they followed
goes on; their clients connect again.
"""

import asyncio
import contextlib
from collections.abc import Iterator


class Streams:
    """The open ones. `stopping` is set once, when the service stops."""

    def __init__(self) -> None:
        self.stopping = False
        self._open: set[asyncio.Task[object]] = set()

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Count the current task in while the context lasts; `stop` leaves the context from the outside."""
        task = asyncio.current_task()
        assert task is not None, "a stream belongs to the task of its request"
        self._open.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self.stopping:
                raise
            # It was `stop`, and it has been heard: the task may go on to finish its answer.
            task.uncancel()
        finally:
            self._open.discard(task)

    def stop(self) -> None:
        """End all of them."""
        self.stopping = True
        for task in self._open:
            task.cancel()
