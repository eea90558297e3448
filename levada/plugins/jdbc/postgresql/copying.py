"""CopyIn and CopyOut: whole files through COPY, streamed both ways."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, Final

from levada.plugins.jdbc.postgresql.connections import connection
from levada.plugins.jdbc.postgresql.failures import explain
from levada.plugins.jdbc.postgresql.properties import Copying
from levada.sdk import Outputs, RunContext, Task, TaskFailed

#: How many chunks from the server may wait for the storage.
WAITING_CHUNKS: Final = 16
_IDENTIFIER = re.compile(r'\s*(?:"((?:[^"]|"")+)"|([A-Za-z_\x80-\uffff][\w$\x80-\uffff]*))\s*(?:\.|$)')


class CopyInOutputs(Outputs):
    row_count: int


class CopyIn(Copying, Task):
    """Loads a file into a table with COPY: all of it or nothing."""

    TYPE = "jdbc.postgresql.CopyIn"

    from_: str

    async def run(self, ctx: RunContext) -> CopyInOutputs:
        """Raises TaskFailed with the line of the file that does not fit."""
        import asyncpg

        if not self.table:
            raise TaskFailed("property `table` is required: which table shall be filled?")
        schema, table = identifiers(self.table)
        async with connection(ctx, self) as link:
            try:
                status = await link.copy_to_table(
                    table,
                    schema_name=schema,
                    source=ctx.storage.get(self.from_),
                    columns=_columns(self),
                    freeze=self.freeze,
                    force_not_null=self.force_not_null,
                    force_null=self.force_null,
                    **_options(ctx, self),
                )
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                raise TaskFailed(f"COPY {self.table} FROM {self.from_}: {explain(error)}") from error
        count = int(status.split()[-1])
        ctx.counter("rows", count)
        ctx.log("INFO", f"copied {count:,} rows into {self.table}")
        return CopyInOutputs(row_count=count)


class CopyOutOutputs(Outputs):
    uri: str
    row_count: int


class CopyOut(Copying, Task):
    """Writes a table or a query's rows to a file with COPY."""

    TYPE = "jdbc.postgresql.CopyOut"

    sql: str | None = None

    async def run(self, ctx: RunContext) -> CopyOutOutputs:
        """Raises TaskFailed unless exactly one of `table` and `sql` is given."""
        import asyncpg

        if bool(self.table) == bool(self.sql):
            raise TaskFailed("say what to copy: either `table` or `sql` is needed, not both")
        async with connection(ctx, self) as link:
            try:
                uri, status = await self._copied(ctx, link)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                raise TaskFailed(f"COPY {self.table or 'of the query'}: {explain(error)}") from error
        count = int(status.split()[-1])
        ctx.counter("rows", count)
        ctx.log("INFO", f"copied {count:,} rows out of {self.table or 'the query'}")
        return CopyOutOutputs(uri=uri, row_count=count)

    async def _copied(self, ctx: RunContext, link: Any) -> tuple[str, str]:
        """Copy and store at the same time: the server fills a short queue that the storage empties."""
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING_CHUNKS)
        suffix = {"CSV": ".csv", "BINARY": ".bin", "TEXT": ".txt"}[self.format]

        async def produce() -> str:
            try:
                return await self._filled(ctx, link, queue)
            except asyncio.CancelledError:
                raise  # nobody empties the queue any more
            except BaseException:
                await queue.put(None)
                raise

        copying = asyncio.create_task(produce())
        try:
            uri = await ctx.storage.put(_drained(queue, copying), f"copy{suffix}")
            return uri, await copying
        finally:
            if not copying.done():
                copying.cancel()
                await asyncio.gather(copying, return_exceptions=True)

    async def _filled(self, ctx: RunContext, link: Any, queue: "asyncio.Queue[bytes | None]") -> str:
        options = {**_options(ctx, self), "output": queue.put}
        if self.sql:
            status = await link.copy_from_query(self.sql.strip().rstrip(";"), **options)
        else:
            schema, table = identifiers(self.table or "")
            status = await link.copy_from_table(table, schema_name=schema, columns=_columns(self), **options)
        await queue.put(None)
        return str(status)


async def _drained(queue: "asyncio.Queue[bytes | None]", copying: "asyncio.Task[str]") -> AsyncIterator[bytes]:
    """Yield what the server sends; then raise what the copying raised."""
    while (chunk := await queue.get()) is not None:
        yield chunk
    await copying


def identifiers(name: str) -> tuple[str | None, str]:
    """Read `table` or `schema.table` as SQL does: unquoted names are folded to lower case. Raises TaskFailed."""
    parts, at = [], 0
    while at < len(name):
        found = _IDENTIFIER.match(name, at)
        if found is None:
            raise TaskFailed(f'property `table` must be a name such as orders, sales.orders or "Orders", not {name!r}')
        quoted, plain = found.groups()
        parts.append(quoted.replace('""', '"') if quoted is not None else plain.lower())
        at = found.end()
    if len(parts) not in (1, 2) or name.rstrip().endswith("."):
        raise TaskFailed(f"property `table` must be a table or schema.table, not {name!r}")
    return (parts[0] if len(parts) == 2 else None), parts[-1]


def _columns(task: Copying) -> list[str] | None:
    return [identifiers(column)[1] for column in task.columns] if task.columns else None


def _options(ctx: RunContext, task: Copying) -> dict[str, Any]:
    if task.socket_timeout is not None:
        ctx.log("WARN", "`socketTimeout` has no effect here; use the task's `timeout`")
    return {
        "format": task.format.lower(),
        "header": task.header,
        "delimiter": task.delimiter,
        "null": task.null_string,
        "quote": task.quote,
        "escape": task.escape,
        "force_quote": task.force_quote,
        "oids": task.oids,
        "encoding": task.encoding,
    }


TASKS = [CopyIn, CopyOut]
