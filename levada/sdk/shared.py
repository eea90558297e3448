"""What plugins keep in the process between runs (pools of connections), and how it is closed at the end.

A plugin registers what must be closed; the worker calls `close_all` when it stops, tests when they end.
"""

import contextlib
from collections.abc import Awaitable, Callable

_closers: list[Callable[[], Awaitable[None]]] = []


def on_close(close: Callable[[], Awaitable[None]]) -> None:
    """Register what `close_all` shall call. It may be called again later and must then do nothing."""
    if close not in _closers:
        _closers.append(close)


async def close_all() -> None:
    """Close everything that plugins keep, in the opposite order of registration."""
    async with contextlib.AsyncExitStack() as stack:
        for close in _closers:
            stack.push_async_callback(close)
