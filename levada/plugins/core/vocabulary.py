"""Words that the properties of several core families share."""

from typing import Annotated, Any, Literal

import msgspec

from levada.sdk import Part

Level = Literal["ERROR", "WARN", "INFO", "DEBUG", "TRACE"]

StateName = Literal[
    "CREATED",
    "SUBMITTED",
    "RUNNING",
    "PAUSED",
    "RESTARTED",
    "KILLING",
    "SUCCESS",
    "WARNING",
    "FAILED",
    "KILLED",
    "CANCELLED",
    "QUEUED",
    "RETRYING",
    "RETRIED",
    "SKIPPED",
    "BREAKPOINT",
    "RESUBMITTED",
]

#: `{key: value}` or `[{key: …, value: …}]`.
LabelsProperty = dict[str, Any] | list[Any]

NonEmpty = Annotated[str, msgspec.Meta(min_length=1)]


class NamespaceFilesProperty(Part, frozen=True):
    """Which namespace files are laid into the working directory before a task runs. `namespaces` None: its own."""

    enabled: bool = True
    include: list[str] | None = None
    exclude: list[str] | None = None
    namespaces: list[str] | None = None
    folder_per_namespace: bool = False
    if_exists: Literal["OVERWRITE", "FAIL", "WARN", "IGNORE"] = "OVERWRITE"
