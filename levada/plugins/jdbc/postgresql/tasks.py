"""The Postgres tasks: Query, Queries, Batch, CopyIn, CopyOut, and the trigger that polls a query."""

from datetime import timedelta
from typing import Annotated, Literal

import msgspec

from levada.plugins.jdbc.postgresql.properties import Copying, Pooling, Querying
from levada.sdk import PollingTrigger, Task

OLD_FETCHING = frozenset({"fetch", "fetchOne", "store"})


class Query(Querying, Task):
    """Runs one statement."""

    TYPE = "jdbc.postgresql.Query"
    DEPRECATED_PROPERTIES = OLD_FETCHING

    input_files: dict[str, str] | None = None
    output_files: list[str] | None = None


class Queries(Querying, Task):
    """Runs several statements, in one transaction unless told otherwise."""

    TYPE = "jdbc.postgresql.Queries"
    DEPRECATED_PROPERTIES = OLD_FETCHING

    transaction: bool = True
    input_files: dict[str, str] | None = None
    output_files: list[str] | None = None


class Batch(Pooling, Task):
    """Writes the rows of a file with one statement, chunk by chunk."""

    TYPE = "jdbc.postgresql.Batch"

    from_: str
    sql: str | None = None
    table: str | None = None
    columns: list[str] | None = None
    chunk: Annotated[int, msgspec.Meta(ge=1)] = 1000
    max_retries: int = 3
    retry_backoff: timedelta = timedelta(seconds=1)
    retry_scope: Literal["NONE", "INPUT", "ALL"] = "INPUT"
    resume_on_retry: bool = True
    input_handling: Literal["AUTO", "STREAM", "LOCAL"] = "AUTO"
    local_buffer_max_bytes: int = 104_857_600


class CopyIn(Copying, Task):
    """Loads a file into a table with COPY."""

    TYPE = "jdbc.postgresql.CopyIn"

    from_: str


class CopyOut(Copying, Task):
    """Writes a table or a query's rows to a file with COPY."""

    TYPE = "jdbc.postgresql.CopyOut"

    sql: str | None = None


class PostgresTrigger(Querying, PollingTrigger):
    """Starts an execution when a query returns rows."""

    TYPE = "jdbc.postgresql.Trigger"
    DEPRECATED_PROPERTIES = OLD_FETCHING

    interval: timedelta = timedelta(minutes=1)


TASKS = [Query, Queries, Batch, CopyIn, CopyOut, PostgresTrigger]
