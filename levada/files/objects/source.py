"""What is put into an object store: bytes, a local file or a stream, told apart into small (one request) and large.

The client swallows nothing, but what it raises may be the source's failure or the store's; the source keeps its own, so that
a caller gets back exactly what its stream raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

CHUNK_BYTES = 1024 * 1024
PART_BYTES = 8 * CHUNK_BYTES
"""Least that is worth a part; S3 takes none below 5 MiB. A stream may have 10,000 of them: 78 GiB."""

PARTS_MAX = 10_000


async def part_bytes(content: bytes | AsyncIterator[bytes] | Path | int) -> int:
    """Return the size of a part for a content, or for a size in bytes. Raises OSError for a file that cannot be read."""
    size = 0
    match content:
        case int():
            size = content
        case bytes():
            size = len(content)
        case Path():
            size = (await asyncio.to_thread(content.stat)).st_size
        case _:
            pass
    return max(PART_BYTES, -(-size // (PARTS_MAX - 1)))


async def chunks_of(content: bytes | AsyncIterator[bytes] | Path) -> AsyncGenerator[bytes, None]:
    """Yield the content; bytes as they are, a file in chunks."""
    if isinstance(content, bytes):
        yield content
    elif isinstance(content, Path):
        handle = await asyncio.to_thread(content.open, "rb")
        try:
            while chunk := await asyncio.to_thread(handle.read, CHUNK_BYTES):
                yield chunk
        finally:
            await asyncio.to_thread(handle.close)
    else:
        async for chunk in content:
            yield chunk


class Source:
    """A content on its way. `problem`: what reading it raised."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], part: int) -> None:
        """What is not larger than `part` bytes is small."""
        self._chunks = chunks
        self._part = part
        self._begun: list[bytes] = []
        self._reading: asyncio.Task[bytes | None] | None = None
        self.problem: BaseException | None = None

    async def whole_or_chunks(self) -> bytes | AsyncIterator[bytes]:
        """Return all of a small content, or the chunks of a large one. Raises what the source raises."""
        size = 0
        async for chunk in self._read():
            self._begun.append(chunk)
            size += len(chunk)
            if size > self._part:
                return self._all()
        return b"".join(self._begun)

    async def close(self) -> None:
        """Stop reading, also when the client that was told to stop still waits for a chunk; let go of the file."""
        if self._reading is not None and not self._reading.done():
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._chunks.aclose()

    async def _all(self) -> AsyncIterator[bytes]:
        while self._begun:
            yield self._begun.pop(0)
        async for chunk in self._read():
            yield chunk

    async def _read(self) -> AsyncIterator[bytes]:
        while True:
            self._reading = asyncio.create_task(self._one())
            chunk = await self._reading
            if chunk is None:
                return
            if chunk:
                yield chunk

    async def _one(self) -> bytes | None:
        """Return the next chunk, None at the end."""
        try:
            return await anext(self._chunks, None)
        except BaseException as problem:
            self.problem = problem
            raise
