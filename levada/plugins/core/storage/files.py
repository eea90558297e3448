"""Tasks on whole files: Size, Write, Delete, Concat, LocalFiles and the purges."""

import json
from collections.abc import AsyncIterator
from typing import Any

from levada.plugins.core.vocabulary import moment_us
from levada.sdk import Outputs, RunContext, Task, TaskFailed


class UriOutputs(Outputs):
    uri: str


class Concat(Task):
    """Joins files to one; the separator follows each of them."""

    TYPE = "core.storage.Concat"
    ALIASES = ("io.kestra.core.tasks.storages.Concat",)

    files: Any
    separator: str | None = None
    extension: str = ".tmp"

    async def run(self, ctx: RunContext) -> UriOutputs:
        """Raises TaskFailed when `files` is no list of URIs."""
        uris = _uris(self.files)
        return UriOutputs(uri=await ctx.storage.put(self._joined(ctx, uris), f"concat{dotted(self.extension)}"))

    async def _joined(self, ctx: RunContext, uris: list[str]) -> AsyncIterator[bytes]:
        separator = unescaped(self.separator).encode() if self.separator else b""
        for uri in uris:
            async for chunk in ctx.storage.get(uri):
                yield chunk
            if separator:
                yield separator


class DeleteOutputs(Outputs):
    uri: str
    deleted: bool


class Delete(Task):
    """Deletes a file."""

    TYPE = "core.storage.Delete"
    ALIASES = ("io.kestra.core.tasks.storages.Delete",)

    uri: str
    error_on_missing: bool = False

    async def run(self, ctx: RunContext) -> DeleteOutputs:
        """Raises TaskFailed when `errorOnMissing` is true and there is no such file."""
        deleted = await ctx.storage.delete(self.uri)
        if not deleted and self.error_on_missing:
            raise TaskFailed(f"there is no file {self.uri} and `errorOnMissing` is set to true")
        return DeleteOutputs(uri=self.uri, deleted=deleted)


class LocalFilesOutputs(Outputs):
    uris: dict[str, str]


class LocalFiles(Task):
    """Lays files into the working directory and stores others from it (Kestra 0.x)."""

    TYPE = "core.storage.LocalFiles"
    ALIASES = ("io.kestra.core.tasks.storages.LocalFiles",)
    DEPRECATED = True

    inputs: dict[str, Any] | str | None = None
    outputs: list[str] | None = None

    async def run(self, ctx: RunContext) -> LocalFilesOutputs:
        """`inputs` maps names to contents or URIs; `outputs` are globs."""
        if self.inputs:
            await ctx.prepare_files(self.inputs)
        return LocalFilesOutputs(uris=await ctx.collect_files(self.outputs) if self.outputs else {})


class PurgeFilesOutputs(Outputs):
    uris: list[str]


class PurgeCurrentExecutionFiles(Task):
    """Deletes every file of the running execution."""

    TYPE = "core.storage.PurgeCurrentExecutionFiles"
    ALIASES = ("io.kestra.core.tasks.storages.PurgeExecution", "core.storage.PurgeExecution")

    async def run(self, ctx: RunContext) -> PurgeFilesOutputs:
        """Later tasks of the execution cannot read what earlier ones stored."""
        folder = f"kestra:///{ctx.namespace.replace('.', '/')}/{ctx.flow_id}/executions/{ctx.execution_id}"
        deleted = [uri for uri in await ctx.storage.list(folder) if await ctx.storage.delete(uri)]
        ctx.log("INFO", f"deleted {len(deleted)} files of this execution")
        return PurgeFilesOutputs(uris=deleted)


class PurgeStorageOutputs(Outputs):
    scanned_count: int
    purged_count: int
    deleted_files_count: int


class PurgeStorage(Task):
    """Deletes files whose execution no longer exists; by default only counts them."""

    TYPE = "core.storage.PurgeStorage"

    end_date: str
    start_date: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    dry_run: bool = True

    async def run(self, ctx: RunContext) -> PurgeStorageOutputs:
        """Raises UserError when a date is none."""
        arguments = {
            "namespace": self.namespace,
            "flowId": self.flow_id,
            "startUs": moment_us("startDate", self.start_date),
            "endUs": moment_us("endDate", self.end_date),
            "dryRun": self.dry_run,
        }
        answer = await ctx.control.call("storage.purge", arguments)
        outputs = PurgeStorageOutputs(
            scanned_count=answer["scannedCount"],
            purged_count=answer["purgedCount"],
            deleted_files_count=answer["deletedFilesCount"],
        )
        ctx.counter("scanned", outputs.scanned_count)
        ctx.counter("purged", outputs.purged_count)
        ctx.counter("deleted.files", outputs.deleted_files_count)
        return outputs


class SizeOutputs(Outputs):
    size: int


class Size(Task):
    """Tells the size of a file in bytes."""

    TYPE = "core.storage.Size"
    ALIASES = ("io.kestra.core.tasks.storages.Size",)

    uri: str

    async def run(self, ctx: RunContext) -> SizeOutputs:
        """Raises UserError when there is no such file."""
        return SizeOutputs(size=await ctx.storage.size(self.uri))


class Write(Task):
    """Stores a text as a file."""

    TYPE = "core.storage.Write"

    content: str
    extension: str | None = None

    async def run(self, ctx: RunContext) -> UriOutputs:
        """The text is stored as UTF-8."""
        return UriOutputs(uri=await ctx.storage.put(self.content, f"content{dotted(self.extension)}"))


def dotted(extension: str | None) -> str:
    """Return an extension with its dot, or nothing."""
    return f".{extension.lstrip('.')}" if extension else ""


def unescaped(separator: str) -> str:
    r"""Return a separator with `\n`, `\r` and `\t` meant as control characters: YAML's plain text keeps them as written."""
    return separator.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t")


def _uris(files: Any) -> list[str]:
    if isinstance(files, str):
        try:
            files = json.loads(files) if files.lstrip().startswith("[") else [files]
        except ValueError as error:
            raise TaskFailed(f"property `files` is not a JSON list of URIs: {error}") from error
    if not isinstance(files, list) or not all(isinstance(uri, str) for uri in files):
        raise TaskFailed("property `files` must be a list of URIs of internal storage, such as kestra:///…")
    return files


TASKS = [Concat, Delete, LocalFiles, PurgeCurrentExecutionFiles, PurgeStorage, Size, Write]
