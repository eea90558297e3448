"""The SQLite tasks, on real databases in files and in memory."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest

from levada.plugins.jdbc.sqlite import Queries, Query, split
from levada.sdk import TaskFailed
from levada.sdk.testing import TestContext, run


@pytest.fixture
def ctx(tmp_path: Path) -> TestContext:
    return TestContext(tmp_path)


async def test_a_query_in_memory(ctx: TestContext) -> None:
    sql = "SELECT :a + 1 AS n, ':a' AS text, x'00ff' AS bytes, :list AS list;"
    outputs = await run(Query, ctx, sql=sql, parameters={"a": 1, "list": [1]}, fetchType="FETCH_ONE")
    assert outputs == {"row": {"n": 2, "text": ":a", "bytes": "AP8=", "list": "[1]"}, "size": 1}


async def test_statements_share_a_database_file_and_a_transaction(ctx: TestContext) -> None:
    sql = "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2); SELECT id FROM t; SELECT count(*) AS n FROM t"
    outputs = await run(Queries, ctx, url="jdbc:sqlite:my.db", sql=sql, fetchType="FETCH", outputDbFile=True)
    assert [entry["rows"] for entry in outputs["outputs"]] == [[{"id": 1}, {"id": 2}], [{"n": 2}]]
    with pytest.raises(TaskFailed, match=r"no such table: x \(SQLITE_ERROR\), in the statement on line 2"):
        await run(Queries, ctx, url="jdbc:sqlite:my.db", sql="DELETE FROM t;\nSELECT * FROM x")
    with pytest.raises(TaskFailed, match="property `afterSQL`"):
        await run(Query, ctx, url="jdbc:sqlite:my.db", sql="DELETE FROM t", afterSQL="nonsense")
    copied = await run(
        Query, ctx, sqliteFile=outputs["databaseUri"], sql="SELECT count(*) AS n FROM t", fetchType="FETCH_ONE"
    )
    assert copied["row"] == {"n": 2}
    link = sqlite3.connect(ctx.working_dir / "my.db")
    assert link.execute("SELECT count(*) FROM t").fetchone() == (2,)
    link.close()


async def test_store_writes_rows_into_a_file(ctx: TestContext) -> None:
    sql = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000) SELECT n FROM c"
    outputs = await run(Query, ctx, sql=sql, fetchType="STORE", fetchSize=100)
    lines = (await ctx.storage.read(outputs["uri"])).splitlines()
    assert outputs["size"] == len(lines) == 5000
    assert json.loads(lines[-1]) == {"n": 5000}
    assert ctx.metric("fetch.size") == 5000


async def test_cancelling_interrupts_the_statement(ctx: TestContext) -> None:
    endless = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await run(Query, ctx, sql=endless)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await run(Query, ctx, sql=endless.replace("count(*)", "n") + " WHERE n < 0", fetchType="STORE")


async def test_a_statement_that_allows_no_transaction_runs_alone(ctx: TestContext) -> None:
    assert await run(Query, ctx, url="jdbc:sqlite:my.db", sql="VACUUM") == {}


async def test_what_is_wrong_is_named(ctx: TestContext) -> None:
    with pytest.raises(TaskFailed, match=r"one statement, not 2; jdbc\.sqlite\.Queries"):
        await run(Query, ctx, sql="SELECT 1; SELECT 2")
    with pytest.raises(TaskFailed, match="property `url` must begin with jdbc:sqlite:"):
        await run(Query, ctx, sql="SELECT 1", url="sqlite:///x")


def test_the_body_of_a_trigger_stays_together() -> None:
    trigger = "CREATE TRIGGER x AFTER INSERT ON t BEGIN DELETE FROM u; DELETE FROM v; END"
    assert [statement.text for statement in split(f"SELECT 1; {trigger}; SELECT 2;")] == [
        "SELECT 1",
        trigger,
        "SELECT 2",
    ]
