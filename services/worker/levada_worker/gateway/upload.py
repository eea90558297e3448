"""Content that can be read only once, made to be sent more than once.

A task streams rows out of a database into storage; the gateway that takes them dies; the task must not fail for that. So
what was read is kept in a temporary file beside, and another gateway gets it from the start: first what is kept, then what
the source goes on to give. Memory holds one chunk, the disk of the worker one copy, which nobody can see and which is gone
with the upload.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from types import TracebackType
from typing import IO, Self

CHUNK_BYTES = 1024 * 1024


class Upload:
    """Use it as `async with`; each call of `chunks` gives the whole content. `problem` is what the source failed with."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._content = content
        self._kept: IO[bytes] | None = None
        self._length = 0
        self._ended = False
        self._taking: asyncio.Task[None] | None = None
        self.problem: Exception | None = None

    async def __aenter__(self) -> Self:
        self._kept = await asyncio.to_thread(tempfile.TemporaryFile, buffering=0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait([self._taking])
        if self._kept is not None:
            await asyncio.to_thread(self._kept.close)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content from its start. Raises what the source raises; then it is also `problem`."""
        at = 0
        while True:
            if at < self._length:
                chunk = await asyncio.to_thread(os.pread, self._file, min(CHUNK_BYTES, self._length - at), at)
                at += len(chunk)
                yield chunk
            elif self.problem is not None:
                raise self.problem
            elif self._ended:
                return
            else:
                await self._taken()

    async def _taken(self) -> None:
        """Return when one more chunk of the source is kept. A try that is cut off here leaves the wait to the next one."""
        if self._taking is None:
            self._taking = asyncio.create_task(self._take(), name="upload")
        await asyncio.shield(self._taking)

    async def _take(self) -> None:
        try:
            chunk = await anext(self._content, None)
            if chunk is None:
                self._ended = True
            elif chunk:
                await asyncio.to_thread(_write, self._file, chunk, self._length)
                self._length += len(chunk)
        except Exception as error:  # noqa: BLE001  (whatever it is, every try raises it)
            self.problem = error
        finally:
            self._taking = None

    @property
    def _file(self) -> int:
        assert self._kept is not None, "used outside its context"
        return self._kept.fileno()


def _write(file: int, chunk: bytes, at: int) -> None:
    view = memoryview(chunk)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written
