"""Internal storage in a dictionary, for unit tests and the simulation. Same contract as every other adapter."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

from levada.files import paths
from levada.files.errors import BadPath, FileMissing, TooLarge
from levada.files.port import Stat

CHUNK_BYTES = 1024 * 1024


class MemoryFiles:
    def __init__(self) -> None:
        self._files: dict[paths.Key, tuple[bytes, int]] = {}
        self._folders: dict[paths.Key, int] = {"": _now_us()}

    async def put(self, uri: str, content: bytes | AsyncIterator[bytes] | Path) -> Stat:
        key = paths.resolve(uri)
        if not key or key in self._folders:
            raise BadPath(f"`{uri}` is a folder, so no file can be written there")
        if isinstance(content, AsyncIterator):
            content = b"".join([chunk async for chunk in content])
        data = _bytes(content)
        self._make_folders(key.rpartition("/")[0])
        self._files[key] = (data, _now_us())
        return self._stat(key)

    async def get(self, uri: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        data = self._content(paths.resolve(uri))
        end = len(data) if length is None else min(len(data), offset + length)
        for start in range(offset, end, CHUNK_BYTES):
            yield data[start : min(start + CHUNK_BYTES, end)]

    async def read(self, uri: str, limit: int | None = None) -> bytes:
        key = paths.resolve(uri)
        data = self._content(key)
        if limit is not None and len(data) > limit:
            raise TooLarge(f"`{paths.uri_of(key)}` has {len(data):,} bytes; at most {limit:,} can be read here")
        return data

    async def stat(self, uri: str) -> Stat:
        return self._stat(paths.resolve(uri))

    async def exists(self, uri: str) -> bool:
        key = paths.resolve(uri)
        return key in self._files or key in self._folders

    async def list(self, uri: str, *, recursive: bool = False) -> list[Stat]:
        key = paths.resolve(uri)
        if key in self._files:
            raise BadPath(f"`{uri}` is a file, not a folder")
        found = [name for name in (*self._files, *self._folders) if name and _inside(name, key)]
        if not recursive:
            found = [name for name in found if name.rpartition("/")[0] == key]
        return [self._stat(name) for name in sorted(found)]

    async def delete(self, uri: str, *, recursive: bool = False) -> bool:
        key = paths.resolve(uri)
        if not key:
            raise BadPath("the root of the storage cannot be deleted")
        if key in self._files:
            del self._files[key]
            return True
        if key not in self._folders:
            return False
        inner = [name for name in (*self._files, *self._folders) if _inside(name, key)]
        if inner and not recursive:
            raise BadPath(f"the folder `{uri}` is not empty")
        for name in (key, *inner):
            self._files.pop(name, None)
            self._folders.pop(name, None)
        return True

    async def move(self, source: str, target: str) -> None:
        old, new = paths.resolve(source), paths.resolve(target)
        is_folder = self._stat(old).is_folder
        if not new or new == old or new.startswith(old + "/"):
            raise BadPath(f"`{source}` cannot be moved to `{target}`")
        if (new in self._files) if is_folder else (new in self._folders):
            raise BadPath(f"`{target}` exists and is of another kind, or is not empty")
        if is_folder and any(_inside(name, new) for name in (*self._files, *self._folders)):
            raise BadPath(f"`{target}` exists and is of another kind, or is not empty")
        self._make_folders(new.rpartition("/")[0])
        self._files = {_renamed(name, old, new): value for name, value in self._files.items()}
        self._folders = {_renamed(name, old, new): value for name, value in self._folders.items()}

    async def make_folder(self, uri: str) -> None:
        self._make_folders(paths.resolve(uri))

    async def local_path(self, uri: str) -> Path | None:
        self._stat(paths.resolve(uri))
        return None

    async def check(self) -> None:
        """A dictionary is always there."""

    async def close(self) -> None:
        """Nothing is open."""

    def _content(self, key: paths.Key) -> bytes:
        if self._stat(key).is_folder:
            raise BadPath(f"`{paths.uri_of(key)}` is a folder")
        return self._files[key][0]

    def _stat(self, key: paths.Key) -> Stat:
        if key in self._files:
            data, modified = self._files[key]
            return Stat(uri=paths.uri_of(key), size=len(data), modified=modified, created=modified)
        if key in self._folders:
            made = self._folders[key]
            return Stat(uri=paths.uri_of(key), size=0, modified=made, created=made, is_folder=True)
        raise FileMissing(f"there is no file {paths.uri_of(key)} in the internal storage")

    def _make_folders(self, key: paths.Key) -> None:
        parts = key.split("/") if key else []
        for count in range(1, len(parts) + 1):
            folder = "/".join(parts[:count])
            if folder in self._files:
                raise FileMissing(f"there is no file {paths.uri_of(key)}: `{folder}` is a file")
            self._folders.setdefault(folder, _now_us())


def _bytes(content: bytes | Path) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def _inside(name: str, folder: str) -> bool:
    return not folder or name.startswith(folder + "/")


def _renamed(name: str, old: str, new: str) -> str:
    return new + name[len(old) :] if name == old or name.startswith(old + "/") else name


def _now_us() -> int:
    return time.time_ns() // 1000
