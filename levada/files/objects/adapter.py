"""Internal storage as objects below one prefix of a bucket. Same contract as every other adapter.

A put is one request, or a multipart upload that becomes visible with its last request: an object is either whole or not
there. Content flows through in parts; of a large file a few parts are in memory at a time, never all of it. What breaks
off leaves no object; the parts that were sent go away by the bucket's life-cycle rule for unfinished uploads.

Object stores know no folders. Here a folder is there while something is below it, or a marker that `make_folder` left. That
a name is not file and folder at once is looked at before each put; two processes that write both in the same moment can
still get both. A move copies everything first and deletes then, so that nothing is lost in between.
"""

from __future__ import annotations

import asyncio
import builtins
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import obstore

from levada.files import paths
from levada.files.errors import BadPath, FileMissing, TooLarge
from levada.files.objects.failures import Absent, told
from levada.files.objects.source import CHUNK_BYTES, Source, chunks_of, part_bytes
from levada.files.port import Stat
from levada.model.errors import LevadaError, Transient

MARKER = ".levada-folder"
CHECKED = ".levada-check"
KEY_MAX_BYTES = 1024
"""Of S3 and Google; Azure allows as many characters."""

PARTS_AT_ONCE = 3
COPIES_AT_ONCE = 8
COPY_MAX_BYTES = 5 * 1024**3
"""More than that S3 does not copy in one request."""

KNOWN_FOLDERS = 4096
CHECK_EVERY_S = 15.0
CHECK_TIMEOUT_S = 3.0
SETTLE_S = 0.1


class ObjectFiles:
    def __init__(self, store: Any, probe: Any, place: str, *, prefix_bytes: int = 0) -> None:
        """`probe` reaches the same objects as `store` and gives up early; `place` is for messages."""
        self._store, self._probe = store, probe
        self.place = place
        self._key_max = KEY_MAX_BYTES - prefix_bytes - 1 - len(MARKER)
        self._known: dict[paths.Key, None] = {}
        self._proven = False
        self._good_until = 0.0

    async def put(self, uri: str, content: bytes | AsyncIterator[bytes] | Path) -> Stat:
        key = self._key(uri)
        if not key:
            raise BadPath(f"`{uri}` names the storage itself, not a file")
        part = await part_bytes(content)
        source = Source(chunks_of(content), part)
        await asyncio.gather(self._no_file_above(key), self._nothing_below(key))
        self._known.pop(key, None)
        try:
            await self._send(key, await source.whole_or_chunks(), part)
        except BaseException:
            if source.problem is not None:
                raise source.problem from None
            raise
        finally:
            await source.close()
        for folder in _above(key):
            self._remember(folder)
        return await self._stat(key)

    async def get(self, uri: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        key = self._key(uri)
        left, options = length, None
        if offset > 0 or length == 0:
            there = (await self._file(key)).size - offset
            left = there if length is None else min(there, length)
            if left <= 0:
                return
            options = {"range": (offset, offset + left)}
        found = await self._open(key, options)
        chunks = found.stream(min_chunk_size=CHUNK_BYTES // 4)
        while chunk := await self._next(chunks):
            for piece in _pieces(chunk, left):
                left = None if left is None else left - len(piece)
                yield piece
            if left == 0:
                return

    async def read(self, uri: str, limit: int | None = None) -> bytes:
        key = self._key(uri)
        found = await self._open(key, None)
        size = found.meta["size"]
        if limit is not None and size > limit:
            raise TooLarge(f"`{paths.uri_of(key)}` has {size:,} bytes; at most {limit:,} can be read here")
        return bytes(await self._ask(found.bytes_async()))

    async def stat(self, uri: str) -> Stat:
        return await self._stat(self._key(uri))

    async def exists(self, uri: str) -> bool:
        try:
            await self.stat(uri)
        except FileMissing:
            return False
        return True

    async def list(self, uri: str, *, recursive: bool = False) -> builtins.list[Stat]:
        """Return what is in the folder, by name; an absent folder is an empty one."""
        key = self._key(uri)
        found = await (self._below(key) if recursive else self._within(key))
        if not found and key and await self._head(key) is not None and not await self._has_below(key):
            raise BadPath(f"`{uri}` is a file, not a folder")
        return [found[name] for name in sorted(found)]

    async def delete(self, uri: str, *, recursive: bool = False) -> bool:
        key = self._key(uri)
        if not key:
            raise BadPath("the root of the storage cannot be deleted")
        if await self._head(key) is not None:
            await self._remove([key])
            return True
        anything = False
        async for names in self._names(key):
            if not recursive and names != [f"{key}/{MARKER}"]:
                raise BadPath(f"the folder `{uri}` is not empty")
            await self._remove(names)
            anything = True
        return anything

    async def move(self, source: str, target: str) -> None:
        old, new = self._key(source), self._key(target)
        found = await self._stat(old)
        if not old or not new or new == old or new.startswith(old + "/"):
            raise BadPath(f"`{source}` cannot be moved to `{target}`")
        await self._no_file_above(new)
        if not await self._may_become(new, found):
            raise BadPath(f"`{target}` exists and is of another kind, or is not empty")
        if found.is_folder:
            names = [name async for batch in self._names(old) for name in batch]
        else:
            names = [old]
        self._known.pop(new, None)
        copying = asyncio.Semaphore(COPIES_AT_ONCE)
        await asyncio.gather(*(self._copy(name, new + name[len(old) :], copying) for name in names))
        await self._remove(names)

    async def make_folder(self, uri: str) -> None:
        key = self._key(uri)
        if key and key not in self._known:
            await self._no_file_above(f"{key}/{MARKER}")
            if not await self._has_below(key):
                await self._send(f"{key}/{MARKER}", b"")

    async def local_path(self, uri: str) -> Path | None:
        await self.stat(uri)
        return None

    async def check(self) -> None:
        """Once an object is written; from then on the store is only asked whether it answers, and that not too often."""
        if time.monotonic() < self._good_until:
            return
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                if not self._proven:
                    await self._ask(obstore.put_async(self._probe, CHECKED, b"levada", use_multipart=False))
                    self._proven = True
                await self._ask(obstore.list_with_delimiter_async(self._probe, CHECKED))
        except TimeoutError as problem:
            raise Transient(f"{self.place} does not answer within {CHECK_TIMEOUT_S:g} s") from problem
        self._good_until = time.monotonic() + CHECK_EVERY_S

    async def close(self) -> None:
        """Wait until the client's threads have let go of the last answers.

        They drop our objects a moment after we have the result; were the interpreter ending by then, it would abort.
        """
        await asyncio.sleep(SETTLE_S)

    # Names.

    def _key(self, uri: str) -> paths.Key:
        key = paths.resolve(uri)
        if MARKER in key.split("/") or key == CHECKED:
            raise BadPath(f"`{uri}` is reserved")
        if len(key.encode()) > self._key_max:
            raise BadPath(f"the path has {len(key.encode()):,} bytes; at most {self._key_max:,} fit into {self.place}")
        return key

    def _remember(self, folder: paths.Key) -> None:
        """That this is a folder needs not be looked up again. Wrong only when another process puts a file in its place."""
        self._known[folder] = None
        if len(self._known) > KNOWN_FOLDERS:
            del self._known[next(iter(self._known))]

    async def _no_file_above(self, key: paths.Key) -> None:
        """Raise FileMissing when part of the path is a file."""
        unknown = [folder for folder in _above(key) if folder not in self._known]
        for folder, found in zip(unknown, await asyncio.gather(*map(self._head, unknown)), strict=True):
            if found is not None:
                raise FileMissing(f"there is no file {paths.uri_of(key)}: `{folder}` is a file")

    async def _nothing_below(self, key: paths.Key) -> None:
        """Raise BadPath when the name is a folder's."""
        if await self._has_below(key):
            raise BadPath(f"`{paths.uri_of(key)}` is a folder, so no file can be written there")

    async def _may_become(self, key: paths.Key, moved: Stat) -> bool:
        """Whether something can be moved to a name: a file over a file or nothing, a folder over an empty one or nothing."""
        below = await self._some_below(key)
        if moved.is_folder:
            return below in ([], [f"{key}/{MARKER}"]) and await self._head(key) is None
        return not below

    # What the store is asked.

    async def _ask(self, answer: Any) -> Any:
        """Await what the client answers. Raises Absent, and errors of ours for everything else that is refused."""
        try:
            with told(self.place):
                return await answer
        except LevadaError:
            self._good_until = 0.0  # the next check of health looks for itself
            raise

    async def _next(self, chunks: Any) -> bytes:
        try:
            chunk: bytes = await self._ask(anext(chunks))
        except StopAsyncIteration:
            return b""
        return chunk

    async def _send(self, key: paths.Key, content: bytes | AsyncIterator[bytes], part: int = CHUNK_BYTES) -> None:
        whole = isinstance(content, bytes)
        sending = obstore.put_async(
            self._store, key, content, use_multipart=not whole, chunk_size=part, max_concurrency=PARTS_AT_ONCE
        )
        await self._ask(sending)

    async def _open(self, key: paths.Key, options: Any) -> Any:
        """Begin to read. Raises FileMissing, and BadPath for a folder."""
        if key:
            with suppress(Absent):
                return await self._ask(obstore.get_async(self._store, key, options=options))
        return await self._file(key)

    async def _file(self, key: paths.Key) -> Stat:
        found = await self._stat(key)
        if found.is_folder:
            raise BadPath(f"`{paths.uri_of(key)}` is a folder")
        return found

    async def _head(self, key: paths.Key) -> Stat | None:
        with suppress(Absent):
            return _stat_of(await self._ask(obstore.head_async(self._store, key)))
        return None

    async def _stat(self, key: paths.Key) -> Stat:
        found = await self._head(key) if key else None
        if found is not None:
            return found
        if not key or await self._has_below(key):
            return _folder(key)
        raise FileMissing(f"there is no file {paths.uri_of(key)} in the internal storage")

    async def _has_below(self, key: paths.Key) -> bool:
        return bool(await self._some_below(key))

    async def _some_below(self, key: paths.Key) -> builtins.list[paths.Key]:
        async with aclosing(self._names(key)) as batches:
            async for names in batches:
                return names
        return []

    async def _objects(self, key: paths.Key) -> AsyncGenerator[Sequence[Any], None]:
        """Yield the objects below a folder, about a thousand at a time, its marker among them."""
        batches = obstore.list(self._store, key or None, chunk_size=1000)
        while True:
            try:
                batch = await self._ask(anext(batches))
            except StopAsyncIteration:
                return
            yield [found for found in batch if found["path"] != key]

    async def _names(self, key: paths.Key) -> AsyncGenerator[builtins.list[paths.Key], None]:
        async for batch in self._objects(key):
            if batch:
                yield [found["path"] for found in batch]

    async def _below(self, key: paths.Key) -> dict[paths.Key, Stat]:
        found: dict[paths.Key, Stat] = {}
        async for batch in self._objects(key):
            for each in batch:
                name = each["path"]
                for folder in _above(name):
                    if len(folder) > len(key):
                        found[folder] = _folder(folder)
                if not _reserved(name):
                    found.setdefault(name, _stat_of(each))
        return found

    async def _within(self, key: paths.Key) -> dict[paths.Key, Stat]:
        answer = await self._ask(obstore.list_with_delimiter_async(self._store, key or None))
        found = {each["path"]: _stat_of(each) for each in answer["objects"] if not _reserved(each["path"])}
        found.pop(key, None)
        return found | {folder: _folder(folder) for folder in answer["common_prefixes"]}

    async def _remove(self, names: Sequence[paths.Key]) -> None:
        try:
            await self._ask(obstore.delete_async(self._store, names))
        except Absent:  # somebody else deletes too; some stores end the whole request at the first that is gone
            for name in names:
                with suppress(Absent):
                    await self._ask(obstore.delete_async(self._store, [name]))

    async def _copy(self, source: paths.Key, target: paths.Key, copying: asyncio.Semaphore) -> None:
        async with copying:
            found = await self._head(source)
            if found is None:
                return  # deleted meanwhile
            if found.size <= COPY_MAX_BYTES:
                await self._ask(obstore.copy_async(self._store, source, target))
            else:
                await self._send(target, self.get(paths.uri_of(source)), await part_bytes(found.size))


def _above(key: paths.Key) -> Iterator[paths.Key]:
    """Yield the folders that a key is in, the outermost first."""
    at = key.find("/")
    while at >= 0:
        yield key[:at]
        at = key.find("/", at + 1)


def _reserved(key: paths.Key) -> bool:
    return key == CHECKED or key.rpartition("/")[2] == MARKER


def _pieces(chunk: bytes, left: int | None) -> Iterator[bytes]:
    size = len(chunk) if left is None else min(len(chunk), left)
    for start in range(0, size, CHUNK_BYTES):
        yield chunk[start : min(start + CHUNK_BYTES, size)]


def _stat_of(found: Any) -> Stat:
    moment = _us(found["last_modified"])
    version = (found["e_tag"] or "").strip('"')
    return Stat(uri=paths.uri_of(found["path"]), size=found["size"], modified=moment, created=moment, version=version)


def _folder(key: paths.Key) -> Stat:
    return Stat(uri=paths.uri_of(key), size=0, modified=0, is_folder=True)


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
