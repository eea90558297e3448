"""Running statements and fetching what they return.

Every statement is prepared: the database says what type each parameter has and what columns come back. Rows are read
through a portal, `fetchSize` at a time, so that memory stays bounded whatever the result is; a result that is to become
an output is cut off with an error before it is too large. When the task is cancelled, asyncpg asks the server to cancel the
statement that is running.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from levada.plugins.jdbc.postgresql.failures import explain
from levada.plugins.jdbc.postgresql.properties import FetchType, Querying
from levada.plugins.jdbc.postgresql.values import decoder, encoder
from levada.plugins.jdbc.sql import Statement, bind_names, line_of
from levada.sdk import Outputs, RunContext, TaskFailed, rows

if TYPE_CHECKING:
    import asyncpg

#: Rows that become outputs may have this size together, as JSON.
MAX_FETCHED_BYTES: Final = 8 * 1024 * 1024
#: After so many rows other tasks of the process get their turn.
ROWS_AT_A_TIME: Final = 500


class QueryOutputs(Outputs):
    row: dict[str, Any] | None = None
    rows: list[dict[str, Any]] | None = None
    uri: str | None = None
    size: int | None = None
    output_files: dict[str, str] | None = None


class Fetching(msgspec.Struct, frozen=True):
    """What to do with rows: the kind, how many travel at a time, and the name of the file that STORE writes."""

    kind: FetchType
    size: int
    file_name: str = f"rows{rows.EXTENSION}"


def fetching(task: Querying, default: FetchType = "NONE") -> Fetching:
    """Return how a task wants its rows, old properties included."""
    kind = task.fetch_type
    if kind is None:
        kind = "STORE" if task.store else "FETCH_ONE" if task.fetch_one else "FETCH" if task.fetch else default
    return Fetching(kind, task.fetch_size)


async def run_statement(
    ctx: RunContext,
    connection: "asyncpg.Connection",
    statement: Statement,
    parameters: Mapping[str, Any] | None,
    fetch: Fetching,
    *,
    sql: str,
) -> QueryOutputs | None:
    """Run one statement of `sql`; None when it returns no rows or none are wanted.

    Raises TaskFailed that names the parameter, or the SQLSTATE and the place in `sql`.
    """
    import asyncpg

    bound = bind_names(statement.text, parameters)
    try:
        prepared = await connection.prepare(bound.text)
        arguments = _arguments(prepared, bound.names, parameters or {}, line_of(sql, statement.start))
        columns = prepared.get_attributes()
        if fetch.kind == "NONE" or not columns:
            await prepared.fetchrow(*arguments)  # one row suffices: a writing statement runs to its end all the same
            ctx.log("DEBUG", f"statement on line {line_of(sql, statement.start)}: {prepared.get_statusmsg()}")
            return None
        _warn_of_doubles(ctx, columns)
        return await _fetched(ctx, connection, prepared, arguments, fetch)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise TaskFailed(explain(error, sql, statement.start, bound)) from error


async def run_script(connection: "asyncpg.Connection", sql: str, what: str) -> None:
    """Run a text of statements without parameters and without results. Raises TaskFailed beginning with `what`."""
    import asyncpg

    try:
        await connection.execute(sql)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise TaskFailed(f"{what}: {explain(error, sql)}") from error


def _arguments(prepared: Any, names: list[str], parameters: Mapping[str, Any], line: int) -> list[Any]:
    arguments = []
    for name, kind in zip(names, prepared.get_parameters(), strict=True):
        try:
            arguments.append(encoder(kind.name)(parameters[name]))
        except ValueError as error:
            given = f"{parameters[name]!r:.80}"
            raise TaskFailed(
                f"parameter `{name}` of the statement on line {line} cannot be sent as {kind.name}: {error}, not {given}"
            ) from error
    return arguments


async def _fetched(
    ctx: RunContext, connection: "asyncpg.Connection", prepared: Any, arguments: list[Any], fetch: Fetching
) -> QueryOutputs:
    if connection.is_in_transaction():
        return await _taken(ctx, prepared, arguments, fetch)
    async with connection.transaction():  # a portal lives only inside of one
        return await _taken(ctx, prepared, arguments, fetch)


async def _taken(ctx: RunContext, prepared: Any, arguments: list[Any], fetch: Fetching) -> QueryOutputs:
    portal = await prepared.cursor(*arguments)
    decoders = [(column.name, decoder(column.type.name)) for column in prepared.get_attributes()]
    match fetch.kind:
        case "FETCH_ONE":
            first = await portal.fetchrow()
            outputs = QueryOutputs(
                row=_row(first, decoders) if first is not None else None, size=int(first is not None)
            )
        case "FETCH":
            found = await _listed(portal, decoders, fetch.size)
            outputs = QueryOutputs(rows=found, size=len(found))
        case _:
            outputs = await _stored(ctx, portal, decoders, fetch)
    ctx.counter("fetch.size", outputs.size or 0)
    return outputs


async def _listed(portal: Any, decoders: list[Any], size: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    length = 0
    async for row in _rows(portal, decoders, size):
        length += len(rows.encode(row))
        if length > MAX_FETCHED_BYTES:
            limit = MAX_FETCHED_BYTES // 1024 // 1024
            raise TaskFailed(
                f"the rows are larger than {limit} MiB (at row {len(found) + 1:,}), too large for an output; "
                "`fetchType: STORE` puts them into a file"
            )
        found.append(row)
    return found


async def _stored(ctx: RunContext, portal: Any, decoders: list[Any], fetch: Fetching) -> QueryOutputs:
    count = 0

    async def each() -> AsyncIterator[dict[str, Any]]:
        nonlocal count
        async for row in _rows(portal, decoders, fetch.size):
            count += 1
            yield row

    uri = await ctx.storage.put(rows.pieces(each()), fetch.file_name)
    return QueryOutputs(uri=uri, size=count)


async def _rows(portal: Any, decoders: list[Any], size: int) -> AsyncIterator[dict[str, Any]]:
    """Yield the rows of a portal, `size` to a round trip, letting other tasks of the process run in between."""
    while batch := await portal.fetch(size):
        for number, record in enumerate(batch, 1):
            yield _row(record, decoders)
            if number % ROWS_AT_A_TIME == 0:
                await asyncio.sleep(0)


def _row(record: Any, decoders: list[Any]) -> dict[str, Any]:
    return {name: decode(value) for (name, decode), value in zip(decoders, record.values(), strict=True)}


def _warn_of_doubles(ctx: RunContext, columns: Any) -> None:
    names = [column.name for column in columns]
    doubles = sorted({name for name in names if names.count(name) > 1})
    if doubles:
        ctx.log("WARN", f"several columns are called {', '.join(doubles)}; only the last one of each is kept: use AS")
