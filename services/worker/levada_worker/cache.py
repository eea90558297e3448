"""Results and files kept from one run to the next: `taskCache`, and `cache` of a WorkingDirectory.

Both live in internal storage below the flow, keyed by task. A result is found by a digest of the type and of the rendered
properties, so that a task whose inputs changed runs. Old entries are replaced, not collected: there is one archive per
WorkingDirectory and one file per digest.
"""

import asyncio
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from levada.expr import reveal
from levada.expr.instants import parse_duration
from levada.files import paths
from levada.files.errors import FileMissing
from levada.files.port import Files
from levada.model.errors import UserError
from levada.model.jobs import Job, JobTask
from levada.model.states import State
from levada_worker import globs, workfiles
from levada_worker.context import WorkerContext
from levada_worker.task import Prepared, Result

#: How much a cache archive may hold, so that a wrong pattern does not fill the storage.
ARCHIVE_MAX_BYTES = 4 * 1024 * 1024 * 1024


#: Folders differ from run to run and make no difference.
_PLACES = {"workingDir": "", "outputDir": ""}


class Kept(msgspec.Struct, frozen=True):
    state: State
    outputs: dict[str, Any] | None
    at: int


class TaskCache:
    """`taskCache: {enabled, ttl}` of one task."""

    def __init__(self, files: Files, job: Job, task: JobTask, ttl: timedelta | None) -> None:
        self._files = files
        self._folder = f"{paths.cache_folder(job.namespace, job.flow_id, task.id)}/results"
        self._ttl = ttl

    @classmethod
    async def of(cls, files: Files, job: Job, task: JobTask, ctx: WorkerContext) -> "TaskCache | None":
        """Return the cache when the task asks for one. Raises UserError for a bad ttl."""
        given = await ctx.render(task.task_cache) if task.task_cache else None
        if not given or str(given.get("enabled", True)).lower() != "true":
            return None
        return cls(files, job, task, _ttl(given.get("ttl")))

    async def keyed(self, prepared: Prepared, ctx: WorkerContext) -> Prepared:
        """Return the task with its RAW properties rendered too (as far as they can be), for the key only."""
        properties = dict(prepared.properties)
        for name in prepared.cls.RAW & properties.keys():
            with suppress(
                UserError
            ):  # it reads variables that only exist while the task runs: then the text is the key
                properties[name] = await ctx.render(properties[name], _PLACES)
        return Prepared(prepared.task, prepared.cls, properties)

    async def find(self, prepared: Prepared, now_us: int) -> Result | None:
        try:
            kept = msgspec.json.decode(await self._files.read(self._uri(prepared)), type=Kept)
        except (FileMissing, msgspec.DecodeError):
            return None
        if self._ttl is not None and kept.at + self._ttl / timedelta(microseconds=1) < now_us:
            return None
        return Result(state=kept.state, outputs=kept.outputs)

    async def keep(self, prepared: Prepared, result: Result, now_us: int) -> None:
        """Remember a good result."""
        if result.state in (State.SUCCESS, State.WARNING):
            kept = Kept(result.state, result.outputs, now_us)
            await self._files.put(self._uri(prepared), msgspec.json.encode(kept))

    def _uri(self, prepared: Prepared) -> str:
        text = msgspec.json.encode([prepared.cls.TYPE, reveal(prepared.properties)], order="deterministic")
        return f"{self._folder}/{hashlib.sha256(text).hexdigest()}.json"


class FolderCache:
    """`cache: {patterns, ttl}` of a WorkingDirectory: one archive, restored before the first child runs."""

    def __init__(self, files: Files, job: Job, patterns: Sequence[str], ttl: timedelta | None) -> None:
        self._files = files
        self._uri = f"{paths.cache_folder(job.namespace, job.flow_id, job.task.id)}/cache.tar"
        self._patterns = [globs.compile(pattern) for pattern in patterns]
        self._ttl = ttl

    @classmethod
    async def of(cls, files: Files, job: Job, ctx: WorkerContext) -> "FolderCache | None":
        given = await ctx.render(job.task.properties.get("cache"))
        if not given:
            return None
        patterns = given.get("patterns")
        if not isinstance(patterns, list) or not patterns:
            raise UserError('property `cache.patterns` must list the files to keep, as in ["node_modules/**"]')
        return cls(files, job, [str(pattern) for pattern in patterns], _ttl(given.get("ttl")))

    async def restore(self, folder: Path, now_us: int) -> str:
        """Put the kept files into `folder`; return what happened, for the log."""
        try:
            found = await self._files.stat(self._uri)
        except FileMissing:
            return "no cached files yet"
        if self._ttl is not None and found.modified + self._ttl / timedelta(microseconds=1) < now_us:
            await self._files.delete(self._uri)
            return "the cached files were older than their ttl; they were removed"
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch) / "cache.tar"
            handle = await asyncio.to_thread(archive.open, "wb")
            with handle:
                async for chunk in self._files.get(self._uri):
                    await asyncio.to_thread(handle.write, chunk)
            count = await asyncio.to_thread(_unpack, archive, folder)
        return f"{count} cached files restored"

    async def save(self, folder: Path) -> str:
        """Keep the files that match; return what happened, for the log."""
        names = await asyncio.to_thread(lambda: list(workfiles.walk(folder)))
        chosen = [name for name in names if any(pattern.fullmatch(name) for pattern in self._patterns)]
        if not chosen:
            return "no file matches `cache.patterns`; nothing was cached"
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch) / "cache.tar"
            await asyncio.to_thread(_pack, archive, folder, chosen)
            await self._files.put(self._uri, archive)
        return f"{len(chosen)} files cached"


def _ttl(given: Any) -> timedelta | None:
    return None if given in (None, "") else parse_duration(str(given))


def _pack(archive: Path, folder: Path, names: Sequence[str]) -> None:
    total = sum((folder / name).stat().st_size for name in names)
    if total > ARCHIVE_MAX_BYTES:
        raise UserError(f"`cache.patterns` match {total:,} bytes; at most {ARCHIVE_MAX_BYTES:,} can be cached")
    with tarfile.open(archive, "w") as tar:
        for name in names:
            tar.add(os.path.realpath(folder / name), arcname=name, recursive=False)


def _unpack(archive: Path, folder: Path) -> int:
    """Write the regular files of our own archive, each checked as any other name that comes from outside."""
    count = 0
    with tarfile.open(archive, "r") as tar:
        for member in tar:
            source = tar.extractfile(member) if member.isfile() else None
            if source is None:
                continue
            target = workfiles.inside(folder, member.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("wb") as file:
                shutil.copyfileobj(source, file, 1024 * 1024)
            target.chmod(member.mode & 0o777)
            count += 1
    return count
