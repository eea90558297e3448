"""Internal storage in a folder of the local disk.

Writing: into a temporary file on the same file system, synced, then renamed; so a file is either whole or not there, and
an acknowledged one survives a crash. Reading: every segment of the path is opened below its parent without following
links, so that nothing outside the root can be reached even if somebody plants a link in the folder.

All disk work happens in threads; the event loop never waits for the disk.
"""

import asyncio
import errno
import os
import shutil
import stat as modes
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from levada.files import paths
from levada.files.errors import BadPath, FileMissing, TooLarge
from levada.files.port import Stat
from levada.model.errors import Transient

CHUNK_BYTES = 1024 * 1024
TEMPORARY = ".levada-tmp"
LEFTOVER_AGE_S = 24 * 3600
FULL = (errno.ENOSPC, errno.EDQUOT)
_READ = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_FOLDER = _READ | os.O_DIRECTORY


class LocalFiles:
    """`sync=False` leaves durability to the operating system (tests, throw-away installations)."""

    def __init__(self, root: Path, *, sync: bool = True) -> None:
        """Create the folder when absent and remove what interrupted writes left there a day ago. Blocks shortly."""
        self.root = root.resolve()
        self._sync = sync
        self._temporary = self.root / TEMPORARY
        self._temporary.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(self._temporary)

    async def put(self, uri: str, content: bytes | AsyncIterator[bytes] | Path) -> Stat:
        key = self._key(uri)
        if not key:
            raise BadPath(f"`{uri}` names the storage itself, not a file")
        with self._room():
            if isinstance(content, bytes | Path):
                return await asyncio.to_thread(self._put_whole, key, content)
            return await self._put_stream(key, content)

    async def get(self, uri: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        handle = await asyncio.to_thread(self._open, self._key(uri))
        try:
            left = length
            while left is None or left > 0:
                size = CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)
                chunk = await asyncio.to_thread(os.pread, handle, size, offset)
                if not chunk:
                    return
                offset += len(chunk)
                left = None if left is None else left - len(chunk)
                yield chunk
        finally:
            os.close(handle)

    async def read(self, uri: str, limit: int | None = None) -> bytes:
        return await asyncio.to_thread(self._read, self._key(uri), limit)

    async def stat(self, uri: str) -> Stat:
        return await asyncio.to_thread(self._stat, self._key(uri))

    async def exists(self, uri: str) -> bool:
        try:
            await self.stat(uri)
        except FileMissing:
            return False
        return True

    async def list(self, uri: str, *, recursive: bool = False) -> list[Stat]:
        """Return what is in the folder, by name; an absent folder is an empty one."""
        return [*await asyncio.to_thread(self._list, self._key(uri), recursive)]

    async def delete(self, uri: str, *, recursive: bool = False) -> bool:
        return await asyncio.to_thread(self._delete, self._key(uri), recursive)

    async def move(self, source: str, target: str) -> None:
        with self._room():
            await asyncio.to_thread(self._move, self._key(source), self._key(target))

    async def make_folder(self, uri: str) -> None:
        with self._room():
            await asyncio.to_thread(self._make_folder, self._key(uri))

    async def local_path(self, uri: str) -> Path | None:
        key = self._key(uri)
        await asyncio.to_thread(self._stat, key)
        return self.root / key

    async def check(self) -> None:
        if not await asyncio.to_thread(os.access, self._temporary, os.W_OK | os.X_OK):
            raise Transient(f"the folder {self.root} of internal storage is gone or cannot be written: is it mounted?")

    async def close(self) -> None:
        """Nothing is open."""

    # Blocking parts, run in threads.

    def _key(self, uri: str) -> paths.Key:
        key = paths.resolve(uri)
        if key.split("/", 1)[0] == TEMPORARY:
            raise BadPath(f"`{uri}` is reserved")
        return key

    @contextmanager
    def _room(self) -> Iterator[None]:
        """Turn the want of space into Transient: it passes when somebody frees some."""
        try:
            yield
        except OSError as problem:
            if problem.errno not in FULL:
                raise
            raise Transient(
                f"internal storage {self.root} has no space left ({problem.strerror}): free some there, or set storage.url "
                "to another disk"
            ) from problem

    def _put_whole(self, key: paths.Key, content: bytes | Path) -> Stat:
        handle, name = tempfile.mkstemp(dir=self._temporary)
        try:
            with os.fdopen(handle, "wb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, file, CHUNK_BYTES)
                self._flush(file)
            return self._publish(name, key)
        except BaseException:
            _unlink(name)
            raise

    async def _put_stream(self, key: paths.Key, content: AsyncIterator[bytes]) -> Stat:
        handle, name = await asyncio.to_thread(tempfile.mkstemp, dir=self._temporary)
        try:
            with os.fdopen(handle, "wb") as file:
                async for chunk in content:
                    await asyncio.to_thread(file.write, chunk)
                await asyncio.to_thread(self._flush, file)
            return await asyncio.to_thread(self._publish, name, key)
        except BaseException:
            _unlink(name)
            raise

    def _flush(self, file: BinaryIO) -> None:
        file.flush()
        if self._sync:
            os.fsync(file.fileno())

    def _publish(self, temporary: str, key: paths.Key) -> Stat:
        """Give the complete file its name."""
        parent, _, name = key.rpartition("/")
        self._make_folder(parent)
        os.chmod(temporary, 0o644)
        with self._parent(key) as folder:
            try:
                os.rename(temporary, name, dst_dir_fd=folder)
            except (IsADirectoryError, FileExistsError, NotADirectoryError) as problem:
                raise BadPath(f"`{paths.uri_of(key)}` is a folder, so no file can be written there") from problem
            if self._sync:
                os.fsync(folder)
        return self._stat(key)

    def _make_folder(self, key: paths.Key) -> None:
        if not key:
            return
        handle = os.open(self.root, _FOLDER)
        try:
            for segment in key.split("/"):
                with suppress(FileExistsError):
                    os.mkdir(segment, 0o755, dir_fd=handle)
                below = self._enter(segment, handle, key)
                os.close(handle)
                handle = below
        finally:
            os.close(handle)

    @contextmanager
    def _parent(self, key: paths.Key) -> Iterator[int]:
        """Open the folder that holds `key`, without following links. Raises FileMissing, BadPath."""
        handle = os.open(self.root, _FOLDER)
        try:
            for segment in key.split("/")[:-1]:
                below = self._enter(segment, handle, key)
                os.close(handle)
                handle = below
            yield handle
        finally:
            os.close(handle)

    def _enter(self, segment: str, folder: int, key: paths.Key) -> int:
        try:
            return os.open(segment, _FOLDER, dir_fd=folder)
        except OSError as problem:
            raise _translated(problem, key) from problem

    def _open(self, key: paths.Key) -> int:
        if not key:
            raise BadPath("the root of the storage is a folder")
        with self._parent(key) as folder:
            try:
                handle = os.open(key.rpartition("/")[2], _READ, dir_fd=folder)
            except OSError as problem:
                raise _translated(problem, key) from problem
        if not modes.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise BadPath(f"`{paths.uri_of(key)}` is a folder")
        return handle

    def _read(self, key: paths.Key, limit: int | None) -> bytes:
        with os.fdopen(self._open(key), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if limit is not None and size > limit:
                raise TooLarge(f"`{paths.uri_of(key)}` has {size:,} bytes; at most {limit:,} can be read here")
            return file.read()

    def _stat(self, key: paths.Key) -> Stat:
        if not key:
            return _stat_of(key, os.stat(self.root))
        with self._parent(key) as folder:
            try:
                found = os.stat(key.rpartition("/")[2], dir_fd=folder, follow_symlinks=False)
            except OSError as problem:
                raise _translated(problem, key) from problem
        if not (modes.S_ISREG(found.st_mode) or modes.S_ISDIR(found.st_mode)):
            raise BadPath(f"`{paths.uri_of(key)}` is neither a file nor a folder")
        return _stat_of(key, found)

    def _list(self, key: paths.Key, recursive: bool) -> Sequence[Stat]:
        try:
            if not self._stat(key).is_folder:
                raise BadPath(f"`{paths.uri_of(key)}` is a file, not a folder")
        except FileMissing:
            return []
        found = []
        with os.scandir(self.root / key) as entries:
            for entry in entries:
                inner = f"{key}/{entry.name}" if key else entry.name
                if entry.is_symlink() or inner == TEMPORARY:
                    continue
                found.append(_stat_of(inner, entry.stat(follow_symlinks=False)))
                if recursive and entry.is_dir(follow_symlinks=False):
                    found += self._list(inner, recursive)
        return sorted(found, key=lambda item: item.uri)

    def _delete(self, key: paths.Key, recursive: bool) -> bool:
        if not key:
            raise BadPath("the root of the storage cannot be deleted")
        try:
            is_folder = self._stat(key).is_folder
        except FileMissing:
            return False
        with self._parent(key) as folder:
            name = key.rpartition("/")[2]
            if not is_folder:
                os.unlink(name, dir_fd=folder)
            elif recursive:
                shutil.rmtree(name, dir_fd=folder)
            else:
                try:
                    os.rmdir(name, dir_fd=folder)
                except OSError as problem:
                    raise BadPath(f"the folder `{paths.uri_of(key)}` is not empty") from problem
        return True

    def _move(self, source: paths.Key, target: paths.Key) -> None:
        self._stat(source)
        if not target or target == source or target.startswith(source + "/"):
            raise BadPath(f"`{paths.uri_of(source)}` cannot be moved to `{paths.uri_of(target)}`")
        self._make_folder(target.rpartition("/")[0])
        with self._parent(source) as origin, self._parent(target) as destination:
            try:
                os.rename(
                    source.rpartition("/")[2], target.rpartition("/")[2], src_dir_fd=origin, dst_dir_fd=destination
                )
            except OSError as problem:
                raise BadPath(f"`{paths.uri_of(target)}` exists and is of another kind, or is not empty") from problem


def _stat_of(key: paths.Key, found: os.stat_result) -> Stat:
    is_folder = modes.S_ISDIR(found.st_mode)
    return Stat(
        uri=paths.uri_of(key),
        size=0 if is_folder else found.st_size,
        modified=found.st_mtime_ns // 1000,
        created=found.st_ctime_ns // 1000,
        is_folder=is_folder,
    )


def _translated(problem: OSError, key: paths.Key) -> FileMissing | BadPath | OSError:
    uri = paths.uri_of(key)
    if problem.errno == errno.ENOENT:
        return FileMissing(f"there is no file {uri} in the internal storage")
    if problem.errno == errno.ELOOP:
        return BadPath(f"`{uri}` leads over a link, which the internal storage does not follow")
    if problem.errno == errno.ENOTDIR:
        return FileMissing(f"there is no file {uri} in the internal storage: part of the path is a file")
    return problem


def _unlink(name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name)


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of writers that are long dead; a running writer's file is younger."""
    oldest = time.time() - LEFTOVER_AGE_S
    for leftover in folder.iterdir():
        with suppress(FileNotFoundError):
            if leftover.stat().st_mtime < oldest:
                leftover.unlink()
