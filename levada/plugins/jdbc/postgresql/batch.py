"""Batch: the rows of a file written with one statement, chunk by chunk.

A chunk is one transaction; after a failure the chunks before it stay, and with `resumeOnRetry` a retry inside the task goes
on behind them. Placeholders are `?`, as in JDBC (`??` is the operator); each row is a map, read by `columns` or in its own
order, or a list.
"""

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from levada.model.errors import Transient
from levada.plugins.jdbc.postgresql.connections import connection
from levada.plugins.jdbc.postgresql.copying import identifiers
from levada.plugins.jdbc.postgresql.failures import explain
from levada.plugins.jdbc.postgresql.properties import Pooling
from levada.plugins.jdbc.postgresql.values import Convert, encoder
from levada.plugins.jdbc.sql import Bound, bind_positions
from levada.sdk import Outputs, RunContext, Task, TaskFailed, rows

READ_BYTES: Final = 256 * 1024
_RETURNS = re.compile(r"\breturning\b", re.IGNORECASE)
_WRITES = re.compile(r"\s*(?:insert|update|delete)\b", re.IGNORECASE)


class BatchOutputs(Outputs):
    row_count: int
    updated_count: int


class Batch(Pooling, Task):
    """Writes the rows of a file with `sql`, or into `table`."""

    TYPE = "jdbc.postgresql.Batch"

    from_: str
    sql: str | None = None
    table: str | None = None
    columns: list[str] | None = None
    chunk: Annotated[int, msgspec.Meta(ge=1)] = 1000
    max_retries: Annotated[int, msgspec.Meta(ge=0)] = 3
    retry_backoff: timedelta = timedelta(seconds=1)
    retry_scope: Literal["NONE", "INPUT", "ALL"] = "INPUT"
    resume_on_retry: bool = True
    input_handling: Literal["AUTO", "STREAM", "LOCAL"] = "AUTO"
    local_buffer_max_bytes: int = 104_857_600

    async def run(self, ctx: RunContext) -> BatchOutputs:
        """Raises TaskFailed naming the row and, where a value does not fit, its column."""
        if bool(self.sql) == bool(self.table):
            raise TaskFailed("say what to write: either `sql` with a ? per value or `table` is needed, not both")
        progress = _Progress()
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, dir=ctx.working_dir, prefix=".batch-"))
        try:
            local = await self._local(ctx, folder)
            await self._with_retries(ctx, local, progress)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        ctx.counter("records", progress.rows)
        ctx.counter("updated", progress.updated)
        ctx.counter("query", progress.chunks)
        return BatchOutputs(row_count=progress.rows, updated_count=progress.updated)

    async def _local(self, ctx: RunContext, folder: Path) -> Path | None:
        """Fetch the file first where that is wanted, so that a slow storage holds no transaction open."""
        wanted = self.input_handling == "LOCAL" or (
            self.input_handling == "AUTO" and await ctx.storage.size(self.from_) <= self.local_buffer_max_bytes
        )
        return await ctx.storage.fetch(self.from_, folder / "rows") if wanted else None

    async def _with_retries(self, ctx: RunContext, local: Path | None, progress: "_Progress") -> None:
        delay = self.retry_backoff.total_seconds()
        for attempt in range(self.max_retries + 1):
            try:
                async with connection(ctx, self) as link:
                    await self._written(ctx, link, local, progress)
                return
            except (_InputLost, _DatabaseLost) as error:
                allowed = self.retry_scope == "ALL" or (self.retry_scope == "INPUT" and isinstance(error, _InputLost))
                if not allowed or attempt == self.max_retries:
                    raise TaskFailed(f"{error} (after {progress.rows:,} rows)") from error
                ctx.log("WARN", f"{error}; trying again in {delay:g} s, {progress.rows:,} rows are written")
                if not self.resume_on_retry:
                    progress.restart()
            await asyncio.sleep(delay)
            delay *= 2

    async def _written(self, ctx: RunContext, link: Any, local: Path | None, progress: "_Progress") -> None:
        writer: _Writer | None = None
        pending: list[Any] = []
        skip = progress.rows
        async with aclosing(self._rows(ctx, local)) as source:
            async for row in source:
                if skip:
                    skip -= 1
                    continue
                if writer is None:
                    writer = await _writer(link, self, row)
                pending.append(writer.arguments(row, progress.rows + len(pending) + 1))
                if len(pending) == self.chunk:
                    progress.wrote(len(pending), await writer.write(pending, progress.rows))
                    pending.clear()
        if writer is not None and pending:
            progress.wrote(len(pending), await writer.write(pending, progress.rows))

    async def _rows(self, ctx: RunContext, local: Path | None) -> AsyncGenerator[Any, None]:
        chunks = ctx.storage.get(self.from_) if local is None else _file(local)
        try:
            async for row in rows.read(chunks, self.from_):
                yield row
        except (Transient, OSError) as error:
            raise _InputLost(f"{self.from_} cannot be read: {error}") from error


class _InputLost(Exception):
    """The file could not be read to its end."""


class _DatabaseLost(Exception):
    """The connection broke."""


class _Progress:
    """What is committed so far."""

    def __init__(self) -> None:
        self.rows = self.updated = self.chunks = 0

    def wrote(self, count: int, updated: int) -> None:
        self.rows += count
        self.updated += updated
        self.chunks += 1

    def restart(self) -> None:
        self.rows = self.updated = self.chunks = 0


class _Writer:
    """A prepared statement and the way from a row to its arguments."""

    def __init__(self, prepared: Any, names: list[str] | None, sql: str, bound: Bound, counts: bool) -> None:
        kinds = prepared.get_parameters()
        self._prepared = prepared
        self._names = names
        self._sql = sql
        self._bound = bound
        self._counts = counts
        self._kinds = [kind.name for kind in kinds]
        self._encoders: list[Convert] = [encoder(kind.name) for kind in kinds]

    def arguments(self, row: Any, number: int) -> list[Any]:
        values = self._values(row, number)
        if len(values) != len(self._encoders):
            raise TaskFailed(f"row {number} has {len(values)} values, but the statement takes {len(self._encoders)}")
        arguments = []
        for position, (encode, value) in enumerate(zip(self._encoders, values, strict=True)):
            try:
                arguments.append(encode(value))
            except ValueError as error:
                name = self._names[position] if self._names else f"number {position + 1}"
                kind = self._kinds[position]
                raise TaskFailed(f"row {number}, column {name} ({kind}): {error}, not {value!r:.80}") from error
        return arguments

    def _values(self, row: Any, number: int) -> list[Any]:
        if isinstance(row, list):
            return row
        if not isinstance(row, dict):
            raise TaskFailed(f"row {number} must be a map or a list, but is {row!r:.80}")
        if self._names is None:
            return list(row.values())
        missing = [name for name in self._names if name not in row]
        if missing:
            raise TaskFailed(f"row {number} has no {missing[0]!r}; its keys are {', '.join(row)}")
        return [row[name] for name in self._names]

    async def write(self, chunk: list[Any], before: int) -> int:
        """Write a chunk: all of it or nothing. Returns the number of rows changed in the database."""
        import asyncpg

        try:
            if self._counts:
                return len(await self._prepared.fetchmany(chunk))
            await self._prepared.executemany(chunk)
            return len(chunk)
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError) as error:
            raise _DatabaseLost(explain(error)) from error
        except asyncpg.PostgresError as error:
            place = f"rows {before + 1:,} to {before + len(chunk):,}"
            raise TaskFailed(f"{place}: {explain(error, self._sql, 0, self._bound)}") from error


async def _writer(link: Any, task: Batch, first: Any) -> _Writer:
    import asyncpg

    names = task.columns
    sql = task.sql
    try:
        if sql is None:
            names, sql = await _insert(link, task, first)
        bound = bind_positions(sql.strip().rstrip(";"))
        counts = _WRITES.match(sql) is not None and _RETURNS.search(sql) is None
        prepared = await link.prepare(f"{bound.text} RETURNING 1" if counts else bound.text)
    except asyncpg.PostgresError as error:
        raise TaskFailed(explain(error, sql, 0, bind_positions(sql) if sql else None)) from error
    return _Writer(prepared, names, sql, bound, counts)


async def _insert(link: Any, task: Batch, first: Any) -> tuple[list[str] | None, str]:
    """Return the names to read from each row, and an INSERT for the task's table."""
    schema, table = identifiers(task.table or "")
    target = ".".join(_quoted(part) for part in (schema, table) if part is not None)
    existing = [column.name for column in (await link.prepare(f"SELECT * FROM {target}")).get_attributes()]
    if task.columns:
        pairs = [(name, identifiers(name)[1]) for name in task.columns]
    elif isinstance(first, dict):
        pairs = [(name, _matching(name, existing, target)) for name in first]
    else:
        pairs = [(name, name) for name in existing[: len(first) if isinstance(first, list) else None]]
    columns = ", ".join(_quoted(column) for _, column in pairs)
    sql = f"INSERT INTO {target} ({columns}) VALUES ({', '.join('?' for _ in pairs)})"
    return [name for name, _ in pairs], sql


def _matching(name: str, existing: list[str], target: str) -> str:
    if name in existing:
        return name
    same = [column for column in existing if column.lower() == name.lower()]
    if len(same) != 1:
        raise TaskFailed(f"{target} has no column {name!r}; it has {', '.join(existing)}. Name some in `columns`")
    return same[0]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _file(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, READ_BYTES):
            yield chunk


TASKS = [Batch]
