"""Internal storage: the files of executions, inputs and namespaces, addressed by URI.

A URI is `kestra:///` plus a path: `kestra:///{namespace as folders}/{flow}/executions/{id}/tasks/{task}/{run}/{name}`.
Namespace files live under `_files/{namespace}/…` and are spelled `nsfile:///{path}`. Adapters resolve a path to exactly
one object below their root and refuse everything else (`..`, absolute names, NUL, links out).
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import msgspec

SCHEME = "kestra://"


class Stat(msgspec.Struct, frozen=True):
    """`size` in bytes, `modified` and `created` epoch microseconds; 0 where nobody knows, as of folders in an object store.

    `version` is another one after each change, where the storage has such a mark; else "".
    """

    uri: str
    size: int
    modified: int
    is_folder: bool = False
    created: int = 0
    version: str = ""


class Files(Protocol):
    """Raises `FileMissing` (UserError) for what is not there, `BadPath` (UserError) for what may not be named."""

    async def put(self, uri: str, content: bytes | AsyncIterator[bytes] | Path) -> Stat:
        """Write whole, visible only when complete; overwrites."""

    def get(self, uri: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        """Stream the content in chunks of at most 1 MiB."""

    async def read(self, uri: str, limit: int | None = None) -> bytes:
        """Return the content; more than `limit` bytes raise UserError naming the limit."""

    async def stat(self, uri: str) -> Stat: ...

    async def exists(self, uri: str) -> bool: ...

    async def list(self, uri: str, *, recursive: bool = False) -> list[Stat]: ...

    async def delete(self, uri: str, *, recursive: bool = False) -> bool:
        """Return whether something was deleted."""

    async def move(self, source: str, target: str) -> None: ...

    async def make_folder(self, uri: str) -> None: ...

    async def local_path(self, uri: str) -> Path | None:
        """Return a readable local path when the adapter has one (no copy), else None."""

    async def close(self) -> None:
        """Let go of whatever is open; nothing is asked of the storage afterwards."""

    async def check(self) -> None:
        """Raise UserError or Transient, with what helps, when files cannot be stored now. Answers within seconds."""
