"""Internal storage as a task sees it: writes go below the folder of its task run, reads may name any file.

Every attempt after the first writes into a folder of its own, so that a straggler of a lost attempt cannot replace what
the next one stored.
"""

import shutil
from asyncio import to_thread
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

from levada.files import paths
from levada.files.port import Files
from levada.model.errors import UserError
from levada.model.jobs import Job
from levada.sdk.context import NamespaceFiles

NAMESPACE_SCHEME = "nsfile://"


def folder_of(job: Job, task_id: str, task_run_id: str) -> str:
    """Return the URI under which the files of an attempt are stored."""
    folder = paths.task_run_folder(job.namespace, job.flow_id, job.execution_id, task_id, task_run_id)
    return folder if job.attempt <= 1 else f"{folder}/attempt-{job.attempt}"


class TaskStorage:
    def __init__(self, files: Files, folder: str, namespace: str, namespace_files: NamespaceFiles) -> None:
        self._files = files
        self._folder = folder
        self._namespace = namespace
        self._namespace_files = namespace_files
        self._taken: set[str] = set()

    async def put(self, content: bytes | str | Path | AsyncIterator[bytes], name: str) -> str:
        """Store under a name that is not taken yet: a second `rows.ion` becomes `rows-2.ion`."""
        checked = paths.check(name.removeprefix("./").lstrip("/"), name)
        if not checked:
            raise UserError("a stored file needs a name")
        uri = f"{self._folder}/{self._free(checked)}"
        await self._files.put(uri, _bytes(content))
        return uri

    async def get(self, uri: str) -> AsyncIterator[bytes]:
        found = namespace_path(uri, self._namespace)
        if found is not None:
            yield await self._namespace_files.read(*found)
            return
        async for chunk in self._files.get(uri):
            yield chunk

    async def read(self, uri: str, limit: int | None = None) -> bytes:
        found = namespace_path(uri, self._namespace)
        if found is None:
            return await self._files.read(uri, limit)
        data = await self._namespace_files.read(*found)
        if limit is not None and len(data) > limit:
            raise UserError(f"`{uri}` has {len(data):,} bytes; at most {limit:,} can be read here")
        return data

    async def size(self, uri: str) -> int:
        if namespace_path(uri, self._namespace) is not None:
            return len(await self.read(uri))
        return (await self._files.stat(uri)).size

    async def exists(self, uri: str) -> bool:
        found = namespace_path(uri, self._namespace)
        if found is not None:
            namespace, path = found
            return path in await self._namespace_files.list(namespace)
        return await self._files.exists(uri)

    async def delete(self, uri: str) -> bool:
        return await self._files.delete(uri)

    async def list(self, uri: str) -> list[str]:
        return [stat.uri for stat in await self._files.list(uri, recursive=True) if not stat.is_folder]

    async def fetch(self, uri: str, target: Path) -> Path:
        """Copy: a link would let the task change what is stored."""
        local = None if uri.startswith(NAMESPACE_SCHEME) else await self._files.local_path(uri)
        if local is not None:
            await to_thread(_copy, local, target)
            return target
        handle = await to_thread(_create, target)
        try:
            async for chunk in self.get(uri):
                await to_thread(handle.write, chunk)
        finally:
            await to_thread(handle.close)
        return target

    def _free(self, name: str) -> str:
        folder, slash, last = name.rpartition("/")
        stem, dot, suffix = last.partition(".")
        candidate, count = name, 1
        while candidate in self._taken:
            count += 1
            candidate = f"{folder}{slash}{stem}-{count}{dot}{suffix}"
        self._taken.add(candidate)
        return candidate


def namespace_path(uri: str, namespace: str) -> tuple[str, str] | None:
    """Return (namespace, path) of `nsfile:///path` or `nsfile://other.namespace/path`; None for other URIs."""
    if not uri.startswith(NAMESPACE_SCHEME):
        return None
    other, _, path = uri.removeprefix(NAMESPACE_SCHEME).partition("/")
    return other or namespace, paths.check(path, uri)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _bytes(content: bytes | str | Path | AsyncIterator[bytes]) -> bytes | Path | AsyncIterator[bytes]:
    return content.encode() if isinstance(content, str) else content


def _create(target: Path) -> BinaryIO:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.open("wb")
