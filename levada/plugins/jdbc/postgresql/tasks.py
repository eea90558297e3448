"""Query, Queries, and the trigger that polls a query."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from levada.plugins.jdbc.postgresql.connections import connection
from levada.plugins.jdbc.postgresql.properties import Querying
from levada.plugins.jdbc.postgresql.queries import Fetching, QueryOutputs, fetching, run_script, run_statement
from levada.plugins.jdbc.sql import Statement, line_of, statements
from levada.sdk import Outputs, PollingTrigger, RunContext, Task, TaskFailed

OLD_FETCHING = frozenset({"fetch", "fetchOne", "store"})


class Query(Querying, Task):
    """Runs one statement; `afterSQL` follows in the same transaction."""

    TYPE = "jdbc.postgresql.Query"
    DEPRECATED_PROPERTIES = OLD_FETCHING

    input_files: dict[str, Any] | list[Any] | str | None = None
    output_files: list[str] | None = None

    async def run(self, ctx: RunContext) -> QueryOutputs:
        """Raises TaskFailed with SQLSTATE and place; nothing of the task is committed then."""
        if self.input_files:
            await ctx.prepare_files(self.input_files)
        outputs = await query(ctx, self, fetching(self))
        if self.output_files:
            outputs.output_files = await ctx.collect_files(self.output_files)
        return outputs


class QueriesOutputs(Outputs):
    outputs: list[QueryOutputs]
    output_files: dict[str, str] | None = None


class Queries(Querying, Task):
    """Runs several statements, in one transaction unless told otherwise. Outputs list those that return rows."""

    TYPE = "jdbc.postgresql.Queries"
    DEPRECATED_PROPERTIES = OLD_FETCHING

    transaction: bool = True
    input_files: dict[str, Any] | list[Any] | str | None = None
    output_files: list[str] | None = None

    async def run(self, ctx: RunContext) -> QueriesOutputs:
        """Raises TaskFailed with SQLSTATE and place. Without a transaction, what ran before stays committed."""
        found = statements(self.sql)
        if not found:
            raise TaskFailed("property `sql` holds no statement")
        if self.input_files:
            await ctx.prepare_files(self.input_files)
        outputs = []
        async with connection(ctx, self) as link, _transaction(link, self.transaction):
            for number, statement in enumerate(found, 1):
                plan = fetching(self)
                plan = Fetching(plan.kind, plan.size, plan.file_name.replace("rows", f"rows-{number}"))
                result = await run_statement(ctx, link, statement, self.parameters, plan, sql=self.sql)
                if result is not None:
                    outputs.append(result)
            if self.after_sql:
                await run_script(link, self.after_sql, "property `afterSQL`")
        files = await ctx.collect_files(self.output_files) if self.output_files else None
        return QueriesOutputs(outputs=outputs, output_files=files)


class PostgresTrigger(Querying, PollingTrigger):
    """Starts an execution when a query returns rows; `afterSQL` may mark them as seen, in the same transaction."""

    TYPE = "jdbc.postgresql.Trigger"
    DEPRECATED_PROPERTIES = OLD_FETCHING

    interval: timedelta = timedelta(minutes=1)

    async def poll(self, ctx: RunContext) -> QueryOutputs | None:
        """Raises TaskFailed like Query."""
        wanted = fetching(self, default="FETCH")
        plan = Fetching("FETCH_ONE", 1) if wanted.kind == "NONE" else wanted
        outputs = await query(ctx, self, plan)
        if not outputs.size:
            if outputs.uri is not None:
                await ctx.storage.delete(outputs.uri)
            return None
        return QueryOutputs(size=outputs.size) if wanted.kind == "NONE" else outputs


async def query(ctx: RunContext, task: Querying, fetch: Fetching) -> QueryOutputs:
    """Run the one statement of a task and its `afterSQL`."""
    statement = only_statement(task.sql)
    async with connection(ctx, task) as link, _transaction(link, bool(task.after_sql)):
        outputs = await run_statement(ctx, link, statement, task.parameters, fetch, sql=task.sql)
        if task.after_sql:
            await run_script(link, task.after_sql, "property `afterSQL`")
    return outputs if outputs is not None else QueryOutputs()


def only_statement(sql: str) -> Statement:
    """Return the one statement of a text. Raises TaskFailed when there are none or several."""
    found = statements(sql)
    if not found:
        raise TaskFailed("property `sql` holds no statement")
    if len(found) > 1:
        raise TaskFailed(
            f"property `sql` holds {len(found)} statements (the second begins on line {line_of(sql, found[1].start)}); "
            "jdbc.postgresql.Queries runs several"
        )
    return found[0]


@asynccontextmanager
async def _transaction(link: Any, wanted: bool) -> AsyncIterator[None]:
    if not wanted:
        yield
        return
    async with link.transaction():
        yield


TASKS = [Query, Queries, PostgresTrigger]
