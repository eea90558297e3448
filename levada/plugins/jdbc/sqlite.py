"""`jdbc.sqlite.*` on Python's own SQLite: a database in a file, for small data and for trying things out.

The file is the one that `url` names (`jdbc:sqlite:/data/my.db`; a relative path is inside the task's working directory), a
copy of a stored file (`sqliteFile`), or memory (`jdbc:sqlite::memory:`). With `outputDbFile` the file is stored after the
run. Statements run in a thread; a cancelled task interrupts the one that is running.
"""

import asyncio
import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from levada.plugins.jdbc.postgresql.properties import FetchType
from levada.plugins.jdbc.sql import Statement, line_of, statements
from levada.sdk import Outputs, RunContext, Task, TaskFailed, rows

PREFIX: Final = "jdbc:sqlite:"
MAX_FETCHED_BYTES: Final = 8 * 1024 * 1024
BUSY_TIMEOUT_S: Final = 30.0


class QueryOutputs(Outputs):
    row: dict[str, Any] | None = None
    rows: list[dict[str, Any]] | None = None
    uri: str | None = None
    size: int | None = None
    database_uri: str | None = None


class QueriesOutputs(Outputs):
    outputs: list[QueryOutputs]
    database_uri: str | None = None


class Querying(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Properties of both tasks. `username` and `password` are accepted and mean nothing to SQLite."""

    sql: str
    url: str = f"{PREFIX}:memory:"
    username: str | None = None
    password: str | None = None
    after_sql: str | None = msgspec.field(default=None, name="afterSQL")
    parameters: dict[str, Any] | None = None
    fetch_type: FetchType = "NONE"
    fetch_size: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    sqlite_file: str | None = None
    output_db_file: bool = False
    time_zone_id: str | None = None


class Query(Querying, Task):
    """Runs one statement; `afterSQL` follows in the same transaction."""

    TYPE = "jdbc.sqlite.Query"

    async def run(self, ctx: RunContext) -> QueryOutputs:
        """Raises TaskFailed with SQLite's message and the line of the statement."""
        found = split(self.sql)
        if len(found) != 1:
            raise TaskFailed(
                f"property `sql` must hold one statement, not {len(found)}; jdbc.sqlite.Queries runs several"
            )
        results, database_uri = await _run(ctx, self, found, transaction=bool(self.after_sql))
        outputs = results[0] if results else QueryOutputs()
        outputs.database_uri = database_uri
        return outputs


class Queries(Querying, Task):
    """Runs several statements, in one transaction unless told otherwise. Outputs list those that return rows."""

    TYPE = "jdbc.sqlite.Queries"

    transaction: bool = True

    async def run(self, ctx: RunContext) -> QueriesOutputs:
        """Raises TaskFailed with SQLite's message and the line of the statement."""
        found = split(self.sql)
        if not found:
            raise TaskFailed("property `sql` holds no statement")
        results, database_uri = await _run(ctx, self, found, transaction=self.transaction)
        return QueriesOutputs(outputs=results, database_uri=database_uri)


async def _run(
    ctx: RunContext, task: Querying, found: list[Statement], *, transaction: bool
) -> tuple[list[QueryOutputs], str | None]:
    path = await _database(ctx, task)
    link = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    with closing(link):
        work = asyncio.ensure_future(asyncio.to_thread(_work, link, task, found, ctx.working_dir, transaction))
        try:
            fetched = await asyncio.shield(work)
        except asyncio.CancelledError:
            link.interrupt()
            await asyncio.wait({work})  # the thread must be out of the database before it is closed
            work.exception()  # that it was interrupted is no news
            raise
    results = []
    for outputs, file in fetched:
        if file is not None:
            outputs.uri = await ctx.storage.put(file, file.name)
            await asyncio.to_thread(file.unlink)
        ctx.counter("fetch.size", outputs.size or 0)
        results.append(outputs)
    keep = task.output_db_file and path != ":memory:"
    return results, await ctx.storage.put(Path(path), Path(path).name) if keep else None


async def _database(ctx: RunContext, task: Querying) -> str:
    if not task.url.startswith(PREFIX):
        raise TaskFailed(f"property `url` must begin with {PREFIX}, but is {task.url!r:.100}")
    name = task.url.removeprefix(PREFIX).partition("?")[0]
    if name in ("", ":memory:") and task.sqlite_file is None:
        return ":memory:"
    path = ctx.working_dir / (name if name not in ("", ":memory:") else "database.db")
    if task.sqlite_file is not None:
        await ctx.storage.fetch(task.sqlite_file, path.with_suffix(".fetched"))
        # A fetched file may be a link into the storage, which must not be written through.
        await asyncio.to_thread(_copied, path.with_suffix(".fetched"), path)
    return str(path)


def _copied(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
    source.unlink()


def _work(
    link: sqlite3.Connection, task: Querying, found: list[Statement], folder: Path, transaction: bool
) -> list[tuple[QueryOutputs, Path | None]]:
    """Run everything; the thread's part. Rolls back when something fails inside a transaction."""
    results = []
    try:
        if transaction:
            link.execute("BEGIN")
        for number, statement in enumerate(found, 1):
            result = _statement(link, task, statement, folder / f"rows-{number}{rows.EXTENSION}")
            if result is not None:
                results.append(result)
        for statement in split(task.after_sql or ""):
            _execute(link, statement, None, task.after_sql or "", "property `afterSQL`")
        if transaction and link.in_transaction:
            link.execute("COMMIT")
    except BaseException:
        if link.in_transaction:
            link.execute("ROLLBACK")
        raise
    return results


def _statement(
    link: sqlite3.Connection, task: Querying, statement: Statement, file: Path
) -> tuple[QueryOutputs, Path | None] | None:
    cursor = _execute(link, statement, task.parameters, task.sql, "property `sql`")
    if cursor.description is None or task.fetch_type == "NONE":
        return None
    try:
        return _fetched(_rows(cursor, task.fetch_size), task.fetch_type, file)
    except sqlite3.Error as error:
        raise TaskFailed(_explain(error, statement, task.sql, "property `sql`")) from error


def _fetched(found: Iterator[dict[str, Any]], kind: FetchType, file: Path) -> tuple[QueryOutputs, Path | None]:
    if kind == "FETCH_ONE":
        first = next(found, None)
        return QueryOutputs(row=first, size=int(first is not None)), None
    if kind == "FETCH":
        listed = _listed(found)
        return QueryOutputs(rows=listed, size=len(listed)), None
    return QueryOutputs(size=_stored(found, file)), file


def _execute(
    link: sqlite3.Connection, statement: Statement, parameters: dict[str, Any] | None, sql: str, what: str
) -> sqlite3.Cursor:
    bound = {name: _bindable(value) for name, value in (parameters or {}).items()}
    try:
        return link.execute(statement.text, bound)
    except sqlite3.Error as error:
        raise TaskFailed(_explain(error, statement, sql, what)) from error


def _explain(error: sqlite3.Error, statement: Statement, sql: str, what: str) -> str:
    code = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return f"{what}: {error} ({code}), in the statement on line {line_of(sql, statement.start)}"


def _rows(cursor: sqlite3.Cursor, size: int) -> Iterator[dict[str, Any]]:
    names = [column[0] for column in cursor.description]
    while batch := cursor.fetchmany(size):
        for values in batch:
            yield {name: _shown(value) for name, value in zip(names, values, strict=True)}


def _listed(found: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    length = 0
    for row in found:
        length += len(rows.encode(row))
        if length > MAX_FETCHED_BYTES:
            raise TaskFailed(
                f"the rows are larger than {MAX_FETCHED_BYTES // 1024 // 1024} MiB, too large for an output; "
                "`fetchType: STORE` puts them into a file"
            )
        listed.append(row)
    return listed


def _stored(found: Iterator[dict[str, Any]], path: Path) -> int:
    count = 0
    with path.open("wb") as file:
        for row in found:
            file.write(rows.encode(row))
            count += 1
    return count


def _bindable(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


def _shown(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def split(sql: str) -> list[Statement]:
    """Cut at semicolons, but keep the body of a trigger together: SQLite itself says when a statement is complete."""
    found: list[Statement] = []
    start: int | None = None
    for piece in statements(sql):
        start = piece.start if start is None else start
        text = sql[start : piece.start + len(piece.text)]
        if sqlite3.complete_statement(text + "\n;"):
            found.append(Statement(text, start))
            start = None
    if start is not None:
        found.append(Statement(sql[start:].rstrip().rstrip(";"), start))
    return found


TASKS = [Query, Queries]
