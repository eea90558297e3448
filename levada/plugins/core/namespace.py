"""`core.namespace.*`: the files of a namespace."""

from typing import Any, Literal

from levada.sdk import Part, Task


class UploadFiles(Task):
    """Copies files into a namespace."""

    TYPE = "core.namespace.UploadFiles"

    namespace: str
    files: list[Any] | None = None
    files_map: dict[str, Any] | str | None = None
    destination: str = "/"
    conflict: Literal["OVERWRITE", "ERROR", "SKIP"] = "OVERWRITE"


class DownloadFiles(Task):
    """Copies files of a namespace into internal storage."""

    TYPE = "core.namespace.DownloadFiles"

    namespace: str
    files: list[Any] | str
    destination: str = ""


class DeleteFiles(Task):
    """Deletes files of a namespace."""

    TYPE = "core.namespace.DeleteFiles"

    namespace: str
    files: list[Any] | str
    delete_parent_folder: bool = False


class VersionPurge(Part, frozen=True, tag_field="type", tag="version"):
    """Removes old versions of files."""

    before: str | None = None
    keep_amount: int | None = None


class PurgeFiles(Task):
    """Removes old versions of files of several namespaces."""

    TYPE = "core.namespace.PurgeFiles"

    behavior: VersionPurge = VersionPurge(keep_amount=1)
    file_pattern: str | None = None
    namespaces: list[str] | None = None
    namespace_pattern: str | None = None
    include_child_namespaces: bool = True


TASKS = [UploadFiles, DownloadFiles, DeleteFiles, PurgeFiles]
