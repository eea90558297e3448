"""Tasks on whole files: Size, Write, Delete, Concat, LocalFiles and the purges."""

from typing import Any

from levada.sdk import Task


class Concat(Task):
    """Joins files to one."""

    TYPE = "core.storage.Concat"
    ALIASES = ("io.kestra.core.tasks.storages.Concat",)

    files: Any
    separator: str | None = None
    extension: str = ".tmp"


class Delete(Task):
    """Deletes a file."""

    TYPE = "core.storage.Delete"
    ALIASES = ("io.kestra.core.tasks.storages.Delete",)

    uri: str
    error_on_missing: bool = False


class LocalFiles(Task):
    """Lays files into the working directory and stores others from it (Kestra 0.x)."""

    TYPE = "core.storage.LocalFiles"
    ALIASES = ("io.kestra.core.tasks.storages.LocalFiles",)
    DEPRECATED = True

    inputs: dict[str, Any] | str | None = None
    outputs: list[str] | None = None


class PurgeCurrentExecutionFiles(Task):
    """Deletes every file of the running execution."""

    TYPE = "core.storage.PurgeCurrentExecutionFiles"
    ALIASES = ("io.kestra.core.tasks.storages.PurgeExecution", "core.storage.PurgeExecution")


class PurgeStorage(Task):
    """Deletes files whose execution no longer exists."""

    TYPE = "core.storage.PurgeStorage"

    end_date: str
    start_date: str | None = None
    namespace: str | None = None
    flow_id: str | None = None
    dry_run: bool = True


class Size(Task):
    """Tells the size of a file in bytes."""

    TYPE = "core.storage.Size"
    ALIASES = ("io.kestra.core.tasks.storages.Size",)

    uri: str


class Write(Task):
    """Stores a text as a file."""

    TYPE = "core.storage.Write"

    content: str
    extension: str | None = None


TASKS = [Concat, Delete, LocalFiles, PurgeCurrentExecutionFiles, PurgeStorage, Size, Write]
