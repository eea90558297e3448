"""The internal storage as the tasks of one execution may use it: read everything, write their own.

What a task stores belongs below its execution; caches below its flow; namespace files below `_files`. Deleting reaches
over its namespace, because flows that clean up after others are common. The same rules hold wherever the task runs: in
the process of the platform, or on a worker elsewhere, whose gateway asks here.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from levada.files import paths
from levada.files.errors import BadPath
from levada.files.port import SCHEME, Files, Stat

NAMESPACE_FILES = f"{SCHEME}/{paths.NAMESPACE_FILES}/"


class ScopedFiles:
    """`Files` of one execution."""

    def __init__(self, files: Files, namespace: str, flow_id: str, execution_id: str) -> None:
        self._files = files
        self._own = paths.execution_folder(namespace, flow_id, execution_id) + "/"
        self._execution = execution_id
        self._namespace = namespace
        self._folder = f"{SCHEME}/{namespace.replace('.', '/')}/"
        self._flow = f"{self._folder}{flow_id}/"

    async def put(self, uri: str, content: bytes | AsyncIterator[bytes] | Path) -> Stat:
        return await self._files.put(self._checked(uri, self._may_write, "write to"), content)

    def get(self, uri: str, *, offset: int = 0, length: int | None = None) -> AsyncIterator[bytes]:
        return self._files.get(uri, offset=offset, length=length)

    async def read(self, uri: str, limit: int | None = None) -> bytes:
        return await self._files.read(uri, limit)

    async def stat(self, uri: str) -> Stat:
        return await self._files.stat(uri)

    async def exists(self, uri: str) -> bool:
        return await self._files.exists(uri)

    async def list(self, uri: str, *, recursive: bool = False) -> list[Stat]:
        return await self._files.list(uri, recursive=recursive)

    async def delete(self, uri: str, *, recursive: bool = False) -> bool:
        return await self._files.delete(self._checked(uri, self._may_delete, "delete"), recursive=recursive)

    async def move(self, source: str, target: str) -> None:
        self._checked(source, self._may_delete, "move")
        await self._files.move(source, self._checked(target, self._may_write, "write to"))

    async def make_folder(self, uri: str) -> None:
        await self._files.make_folder(self._checked(uri, self._may_write, "write to"))

    async def local_path(self, uri: str) -> Path | None:
        return await self._files.local_path(uri)

    async def check(self) -> None:
        await self._files.check()

    async def close(self) -> None:
        """What stands behind it belongs to others."""

    def _checked(self, uri: str, allowed: Callable[[str], bool], doing: str) -> str:
        """Return the URI if it may be used so. Raises BadPath."""
        plain = paths.uri_of(paths.resolve(uri))
        if not allowed(plain):
            raise BadPath(
                f"a task of execution {self._execution} in namespace {self._namespace} may not {doing} `{plain}`: "
                "it writes below its own execution, the caches of its flow and namespace files, and deletes in its "
                "namespace"
            )
        return uri

    def _may_write(self, uri: str) -> bool:
        return uri.startswith((self._own, NAMESPACE_FILES)) or (
            uri.startswith(self._flow) and uri.removeprefix(self._flow).split("/")[1:2] == ["cache"]
        )

    def _may_delete(self, uri: str) -> bool:
        return uri.startswith((self._folder, NAMESPACE_FILES))
