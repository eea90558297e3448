"""Words that the properties of several core families share."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from levada.expr import instants
from levada.expr.errors import ExpressionError
from levada.model.errors import UserError
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


def moment_us(name: str, value: str | None) -> int | None:
    """Return the moment that the property `name` means, as epoch microseconds. Raises UserError when it means none."""
    if value is None:
        return None
    try:
        moment = instants.moment(value)
    except ExpressionError as error:
        raise UserError(f"property `{name}` must be a date such as 2026-01-31T00:00:00Z, but is {value!r}") from error
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
