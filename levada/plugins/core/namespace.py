"""`core.namespace.*`: the files of a namespace."""

import json
import os.path
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from levada.plugins.core.globs import matches
from levada.plugins.core.kv import chosen_namespaces
from levada.sdk import Outputs, Part, RunContext, Task, TaskFailed


class FilesOutputs(Outputs):
    files: dict[str, str]


class UploadFiles(Task):
    """Copies files into a namespace: those of the working directory that match `files`, and those of `filesMap`."""

    TYPE = "core.namespace.UploadFiles"

    namespace: str
    files: list[Any] | None = None
    files_map: dict[str, Any] | str | None = None
    destination: str = "/"
    conflict: Literal["OVERWRITE", "ERROR", "SKIP"] = "OVERWRITE"

    async def run(self, ctx: RunContext) -> FilesOutputs:
        """Raises TaskFailed when nothing is named, nothing matches, or a file exists and `conflict` is ERROR."""
        if not self.files and not self.files_map:
            raise TaskFailed(
                "nothing to upload: give `files` (globs of the working directory) or `filesMap` (path to URI)"
            )
        sources = await self._sources(ctx)
        existing = set(await ctx.namespace_files.list(self.namespace))
        written = {}
        for path, source in sources.items():
            target = joined(self.destination, path)
            if target in existing and self.conflict == "ERROR":
                raise TaskFailed(f"the namespace file {target} of {self.namespace} exists and `conflict` is ERROR")
            if target in existing and self.conflict == "SKIP":
                ctx.log("INFO", f"{target} exists in {self.namespace} and is left as it is")
                continue
            await ctx.namespace_files.put(self.namespace, target, await ctx.storage.read(source))
            written[f"/{target}"] = source
        ctx.log("INFO", f"uploaded {len(written)} files to namespace {self.namespace}")
        return FilesOutputs(files=written)

    async def _sources(self, ctx: RunContext) -> dict[str, str]:
        """Return what to upload: path -> URI in internal storage."""
        sources: dict[str, str] = {}
        globs = []
        for entry in self.files or []:
            if isinstance(entry, dict):
                sources.update(entry)
            elif "://" in str(entry):
                sources[PurePosixPath(str(entry)).name] = str(entry)
            else:
                globs.append(str(entry))
        if globs:
            found = await ctx.collect_files(globs)
            if not found:
                raise TaskFailed(f"no file of the working directory matches {', '.join(globs)} (property `files`)")
            sources.update(found)
        sources.update(_map(self.files_map))
        return sources


class DownloadFiles(Task):
    """Copies files of a namespace into internal storage."""

    TYPE = "core.namespace.DownloadFiles"

    namespace: str
    files: list[Any] | str
    destination: str = ""

    async def run(self, ctx: RunContext) -> FilesOutputs:
        """Keys of the output are the paths in the namespace, below `destination`."""
        downloaded = {}
        for path in await _matching(ctx, self.namespace, self.files):
            content = await ctx.namespace_files.read(self.namespace, path)
            name = joined(self.destination, path)
            downloaded[f"/{name}"] = await ctx.storage.put(content, name)
        ctx.log("INFO", f"downloaded {len(downloaded)} files of namespace {self.namespace}")
        return FilesOutputs(files=downloaded)


class DeleteFiles(Task):
    """Deletes files of a namespace. Folders exist only through their files, so that an empty one is gone by itself."""

    TYPE = "core.namespace.DeleteFiles"

    namespace: str
    files: list[Any] | str
    delete_parent_folder: bool = False

    async def run(self, ctx: RunContext) -> FilesOutputs:
        """The output maps each deleted path to its former URI."""
        deleted = {}
        for path in await _matching(ctx, self.namespace, self.files):
            if await ctx.namespace_files.delete(self.namespace, path):
                deleted[f"/{path}"] = f"nsfile:///{path}"
        ctx.log("INFO", f"deleted {len(deleted)} files of namespace {self.namespace}")
        return FilesOutputs(files=deleted)


class VersionPurge(Part, frozen=True, tag_field="type", tag="version"):
    """Removes old versions of files; Levada keeps only the newest, so that there is nothing to remove."""

    before: str | None = None
    keep_amount: int | None = None


class PurgeOutputs(Outputs):
    size: int


class PurgeFiles(Task):
    """Removes old versions of files of several namespaces."""

    TYPE = "core.namespace.PurgeFiles"

    behavior: VersionPurge = VersionPurge(keep_amount=1)
    file_pattern: str | None = None
    namespaces: list[str] | None = None
    namespace_pattern: str | None = None
    include_child_namespaces: bool = True

    async def run(self, ctx: RunContext) -> PurgeOutputs:
        """Checks its properties; there are no old versions to purge."""
        await chosen_namespaces(ctx, self.namespaces, self.namespace_pattern, children=self.include_child_namespaces)
        ctx.log("INFO", "only the newest version of a namespace file is kept here: there are no old versions to purge")
        return PurgeOutputs(size=0)


def joined(destination: str, path: str) -> str:
    """Return `path` below `destination`, without a leading slash. Raises TaskFailed when it leaves the namespace."""
    target = os.path.normpath(f"{destination.strip('/')}/{path.lstrip('/')}".lstrip("/"))
    if target == ".." or target.startswith("../"):
        raise TaskFailed(f"the path {destination}/{path} leaves the namespace")
    return Path(target).as_posix()


async def _matching(ctx: RunContext, namespace: str, files: list[Any] | str) -> list[str]:
    patterns = _list(files)
    return [path for path in await ctx.namespace_files.list(namespace) if matches(path, patterns)]


def _list(files: list[Any] | str) -> list[str]:
    if isinstance(files, str):
        if not files.lstrip().startswith("["):
            return [files]
        try:
            files = json.loads(files)
        except ValueError as error:
            raise TaskFailed(f"property `files` is no JSON list: {error}") from error
    return [str(pattern) for pattern in files]


def _map(files: dict[str, Any] | str | None) -> dict[str, str]:
    if isinstance(files, str):
        try:
            files = json.loads(files)
        except ValueError as error:
            raise TaskFailed(f"property `filesMap` is no JSON object of path to URI: {error}") from error
    if files is not None and not isinstance(files, dict):
        raise TaskFailed("property `filesMap` must map paths to URIs of internal storage")
    return {path: str(uri) for path, uri in (files or {}).items()}


TASKS = [UploadFiles, DownloadFiles, DeleteFiles, PurgeFiles]
