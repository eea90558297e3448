"""Tasks on lines of text: Split and Reverse.

Both work through a scratch folder beside the task's files and never hold more than a buffer of the content.
"""

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

import re2

from levada.plugins.core.storage.files import UriOutputs, unescaped
from levada.sdk import Outputs, RunContext, Task, TaskFailed, rows

BUFFER_BYTES: Final = 4 * 1024 * 1024
BLOCK_BYTES: Final = 1024 * 1024
_SIZE = re.compile(r"\s*(\d+)\s*([KMGT]?)(?:i?B)?\s*", re.IGNORECASE)


class SplitOutputs(Outputs):
    uris: list[str]


class Split(Task):
    """Cuts a file into several, by rows, bytes, number of parts or a pattern. Lines are never cut."""

    TYPE = "core.storage.Split"
    ALIASES = ("io.kestra.core.tasks.storages.Split",)

    from_: str
    bytes: str | int | None = None
    partitions: int | None = None
    rows: int | None = None
    regex_pattern: str | None = None
    separator: str = "\n"

    async def run(self, ctx: RunContext) -> SplitOutputs:
        """Raises TaskFailed when it is not said how to cut."""
        uris = await split(
            ctx,
            self.from_,
            max_rows=self.rows,
            max_bytes=byte_size("bytes", self.bytes) if self.bytes is not None else None,
            partitions=self.partitions,
            pattern=self.regex_pattern,
            separator=self.separator,
        )
        return SplitOutputs(uris=uris)


async def split(
    ctx: RunContext,
    uri: str,
    *,
    max_rows: int | None = None,
    max_bytes: int | None = None,
    partitions: int | None = None,
    pattern: str | None = None,
    separator: str = "\n",
) -> list[str]:
    """Cut a stored file and return the URIs of its parts, in order.

    A part ends with the row that reaches `max_rows` or `max_bytes`; `partitions` deals the rows out in turn; `pattern`
    puts rows together whose first group is the same and drops rows that do not match, with a warning.
    """
    if max_rows is None and max_bytes is None and partitions is None and pattern is None:
        raise TaskFailed("say how to split: one of `rows`, `bytes`, `partitions` and `regexPattern` is needed")
    for name, limit in (("rows", max_rows), ("bytes", max_bytes), ("partitions", partitions)):
        if limit is not None and limit < 1:
            raise TaskFailed(f"property `{name}` must be at least 1, but is {limit}")
    records = rows.records(ctx.storage.get(uri), unescaped(separator).encode(), where=uri)
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=ctx.working_dir, prefix=".split-"))
    parts = _Parts(folder)
    try:
        if pattern is not None:
            await _by_pattern(ctx, records, _compiled(pattern), parts)
        elif partitions is not None:
            await _dealt(records, partitions, parts)
        else:
            await _in_order(records, max_rows, max_bytes, parts)
        await parts.flush()
        suffix = PurePosixPath(uri).suffix or ".txt"
        return [
            await ctx.storage.put(path, f"part-{number:05}{suffix}") for number, path in enumerate(parts.paths(), 1)
        ]
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _in_order(
    records: AsyncIterator[bytes], max_rows: int | None, max_bytes: int | None, parts: "_Parts"
) -> None:
    part = count = size = 0
    async for record in records:
        await parts.add(str(part), record)
        count, size = count + 1, size + len(record)
        if (max_rows is not None and count >= max_rows) or (max_bytes is not None and size >= max_bytes):
            part, count, size = part + 1, 0, 0


async def _dealt(records: AsyncIterator[bytes], partitions: int, parts: "_Parts") -> None:
    turn = 0
    async for record in records:
        await parts.add(str(turn), record)
        turn = (turn + 1) % partitions


async def _by_pattern(ctx: RunContext, records: AsyncIterator[bytes], pattern: Any, parts: "_Parts") -> None:
    dropped = 0
    async for record in records:
        found = pattern.search(record.decode(errors="replace"))
        if found is None:
            dropped += 1
        else:
            await parts.add(found.group(1) or "", record)
    if dropped:
        ctx.log("WARN", f"{dropped} rows do not match `regexPattern` and are in no part")


def _compiled(pattern: str) -> Any:
    """Return the pattern of an engine that never backtracks: a bad one cannot stop the worker."""
    try:
        compiled = re2.compile(pattern)
    except re2.error as error:
        raise TaskFailed(f"property `regexPattern` is no regular expression: {error}") from error
    if compiled.groups < 1:
        raise TaskFailed(
            "property `regexPattern` needs a group in parentheses: its text decides which rows go together"
        )
    return compiled


class _Parts:
    """Files that grow by turns, each found by a key, through one buffer of bounded size."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: dict[str, Path] = {}
        self._buffers: dict[str, bytearray] = {}
        self._buffered = 0

    def paths(self) -> list[Path]:
        return list(self._paths.values())

    async def add(self, key: str, record: bytes) -> None:
        if key not in self._paths:
            self._paths[key] = self._folder / str(len(self._paths))
        self._buffers.setdefault(key, bytearray()).extend(record)
        self._buffered += len(record)
        if self._buffered >= BUFFER_BYTES:
            await self.flush()

    async def flush(self) -> None:
        buffers, self._buffers, self._buffered = self._buffers, {}, 0
        await asyncio.to_thread(self._write, buffers)

    def _write(self, buffers: dict[str, bytearray]) -> None:
        for key, buffer in buffers.items():
            with self._paths[key].open("ab") as file:
                file.write(buffer)


class Reverse(Task):
    """Writes the rows of a file in the opposite order."""

    TYPE = "core.storage.Reverse"
    ALIASES = ("io.kestra.core.tasks.storages.Reverse",)

    from_: str
    separator: str = "\n"
    charset: str = "UTF-8"

    async def run(self, ctx: RunContext) -> UriOutputs:
        """Raises TaskFailed when the charset is unknown."""
        try:
            separator = unescaped(self.separator).encode(self.charset)
        except LookupError as error:
            raise TaskFailed(f"property `charset` must name a character set such as UTF-8: {error}") from error
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=ctx.working_dir, prefix=".reverse-"))
        try:
            local = await ctx.storage.fetch(self.from_, folder / "content")
            name = f"reversed{PurePosixPath(self.from_).suffix or '.txt'}"
            return UriOutputs(uri=await ctx.storage.put(_backwards(local, separator), name))
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _backwards(path: Path, separator: bytes) -> AsyncIterator[bytes]:
    """Yield the records of a file from the last to the first, read from its end in blocks."""
    end = (await asyncio.to_thread(path.stat)).st_size
    rest = b""
    is_tail = True
    while end > 0:
        start = max(0, end - BLOCK_BYTES)
        block = await asyncio.to_thread(_read, path, start, end - start) + rest
        end = start
        rest, *whole = block.split(separator)
        found = bool(whole)
        if is_tail and found and whole[-1] == b"":
            whole.pop()  # what follows the last separator is no record
        is_tail = is_tail and not found
        if whole:
            yield b"".join(record + separator for record in reversed(whole))
    if rest or not is_tail:
        yield rest + separator


def _read(path: Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


def byte_size(name: str, text: str | int) -> int:
    """Return the bytes of a size such as `10MB` (1 KB is 1024 bytes). Raises TaskFailed naming the property."""
    found = _SIZE.fullmatch(str(text))
    if found is None:
        raise TaskFailed(f"property `{name}` must be a size such as 500KB or 10MB, but is {text!r}")
    scale = 1 << 10 * " KMGT".index(found.group(2).upper() or " ")
    return int(found.group(1)) * scale


TASKS = [Split, Reverse]
