"""The Postgres tasks against a real Postgres."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from levada.plugins.jdbc.postgresql import queries as limits
from levada.plugins.jdbc.postgresql.batch import Batch
from levada.plugins.jdbc.postgresql.copying import CopyIn, CopyOut
from levada.plugins.jdbc.postgresql.tasks import PostgresTrigger, Queries, Query
from levada.sdk import TaskFailed, shared
from levada.sdk.properties import convert
from levada.sdk.testing import TestContext, run


@pytest.fixture
async def where(empty_database: str) -> AsyncIterator[dict[str, Any]]:
    """The connection properties of a database of this test's own."""
    parts = urlsplit(empty_database)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    host = query.get("host") or parts.hostname or "localhost"
    url = f"jdbc:postgresql://localhost:{query.get('port') or parts.port or 5432}{parts.path}"
    if host.startswith("/"):
        url += f"?host={host}"
    else:
        url = url.replace("localhost", host, 1)
    yield {"url": url, "username": parts.username or query.get("user"), "password": parts.password}
    await shared.close_all()


@pytest.fixture
async def admin(empty_database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database)
    yield connection
    await connection.close()


@pytest.fixture
def ctx(tmp_path: Path) -> TestContext:
    return TestContext(tmp_path, variables={"inputs": {"id": 2}})


async def test_fetch_one_gives_the_first_row(ctx: TestContext, where: dict[str, Any]) -> None:
    outputs = await run(Query, ctx, **where, sql="SELECT 1 AS a, 'x' AS b;", fetchType="FETCH_ONE")
    assert outputs == {"row": {"a": 1, "b": "x"}, "size": 1}
    assert await run(Query, ctx, **where, sql="SELECT 1 WHERE false", fetchType="FETCH_ONE") == {"size": 0}


async def test_fetch_gives_all_rows_and_counts_them(ctx: TestContext, where: dict[str, Any]) -> None:
    sql = "SELECT n FROM generate_series(1, 25) AS n"
    outputs = await run(Query, ctx, **where, sql=sql, fetchType="FETCH", fetchSize="10")
    assert [row["n"] for row in outputs["rows"]] == list(range(1, 26))
    assert outputs["size"] == 25
    assert ctx.metric("fetch.size") == 25
    assert (await run(Query, ctx, **where, sql=sql, fetch=True))["size"] == 25


async def test_without_a_fetch_type_nothing_is_fetched(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    assert await run(Query, ctx, **where, sql="CREATE TABLE t (id int)") == {}
    assert await run(Query, ctx, **where, sql="INSERT INTO t SELECT generate_series(1, 50) RETURNING id") == {}
    assert await admin.fetchval("SELECT count(*) FROM t") == 50


async def test_store_streams_rows_into_a_file(ctx: TestContext, where: dict[str, Any]) -> None:
    sql = "SELECT n, repeat('x', 100) AS text FROM generate_series(1, 30000) AS n"
    outputs = await run(Query, ctx, **where, sql=sql, fetchType="STORE", fetchSize=1000)
    lines = (await ctx.storage.read(outputs["uri"])).splitlines()
    assert outputs["size"] == len(lines) == 30000
    assert json.loads(lines[-1]) == {"n": 30000, "text": "x" * 100}


async def test_fetch_refuses_what_is_too_large_for_an_output(
    ctx: TestContext, where: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_FETCHED_BYTES", 2**20)
    sql = "SELECT repeat('x', 1000) FROM generate_series(1, 100000)"
    with pytest.raises(TaskFailed, match=r"larger than 1 MiB .* `fetchType: STORE`"):
        await run(Query, ctx, **where, sql=sql, fetchType="FETCH")


async def test_every_type_has_a_json_form(ctx: TestContext, where: dict[str, Any]) -> None:
    sql = """
    SELECT 1::int2 AS small, 9007199254740993 AS big, 1.5::float8 AS float, 'NaN'::float8 AS nan,
      12.30::numeric AS amount, 42::numeric AS whole, 0.1234567890123456789::numeric AS precise, true AS yes,
      DATE '2024-02-29' AS day, TIMESTAMP '2024-02-29 10:00:00.5' AS local, TIME '10:00' AS clock,
      TIMESTAMPTZ '2024-02-29 10:00:00+02' AS instant, INTERVAL '1 hour 30 minutes' AS span,
      '{"a": [1, null]}'::jsonb AS data, ARRAY['{"b": 1}'::json] AS documents, ARRAY[[1, 2], [3, 4]] AS grid,
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS id, '\\x00ff'::bytea AS bytes, NULL::int AS nothing,
      '192.168.0.1'::inet AS address, int4range(1, 5) AS range, ROW(1, 'x') AS pair, B'101' AS bits
    """
    row = (await run(Query, ctx, **where, sql=sql, fetchType="FETCH_ONE"))["row"]
    assert row == {
        "small": 1,
        "big": 9007199254740993,
        "float": 1.5,
        "nan": "NaN",
        "amount": 12.3,
        "whole": 42,
        "precise": "0.1234567890123456789",
        "yes": True,
        "day": "2024-02-29",
        "local": "2024-02-29T10:00:00.500000",
        "clock": "10:00:00",
        "instant": "2024-02-29T08:00:00Z",
        "span": "PT1H30M",
        "data": {"a": [1, None]},
        "documents": [{"b": 1}],
        "grid": [[1, 2], [3, 4]],
        "id": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
        "bytes": "AP8=",
        "nothing": None,
        "address": "192.168.0.1",
        "range": "[1,5)",
        "pair": [1, "x"],
        "bits": "101",
    }


async def test_parameters_are_bound_not_pasted(ctx: TestContext, where: dict[str, Any]) -> None:
    sql = """
    SELECT :id + 1 AS next, :name AS name, ':id' AS quoted, :id::text AS cast, -- :nothing here
      :day::date + 1 AS tomorrow, :flag::bool AS flag, :data::jsonb -> 'a' AS a, :list::int[] AS list, :none::int AS none
    WHERE :name LIKE '%x'
    """
    parameters = {
        "id": "{{ inputs.id }}",
        "name": "Robert'); DROP TABLE x",
        "day": "2024-02-28",
        "flag": "true",
        "data": {"a": "b"},
        "list": "[1, 2]",
        "none": None,
    }
    row = (await run(Query, ctx, **where, sql=sql, parameters=parameters, fetchType="FETCH_ONE"))["row"]
    assert row == {
        "next": 3,
        "name": "Robert'); DROP TABLE x",
        "quoted": ":id",
        "cast": "2",
        "tomorrow": "2024-02-29",
        "flag": True,
        "a": "b",
        "list": [1, 2],
        "none": None,
    }


async def test_a_parameter_that_does_not_fit_is_named(ctx: TestContext, where: dict[str, Any]) -> None:
    with pytest.raises(TaskFailed, match=r"parameter `id` .* as int4: a whole number is needed, not 'abc'"):
        await run(Query, ctx, **where, sql="SELECT 1 + :id", parameters={"id": "abc"})
    with pytest.raises(TaskFailed, match=r"`:other` on line 2 .* no value in `parameters` \(given: id\)"):
        await run(Query, ctx, **where, sql="SELECT :id,\n :other", parameters={"id": 1})


async def test_an_error_tells_sqlstate_line_and_column(ctx: TestContext, where: dict[str, Any]) -> None:
    sql = "SELECT :id::int,\n       :id::int,\n  missing_column\nFROM (SELECT 1) AS x"
    with pytest.raises(TaskFailed) as caught:
        await run(Query, ctx, **where, sql=sql, parameters={"id": 1})
    assert str(caught.value) == (
        'column "missing_column" does not exist (SQLSTATE 42703); at line 3, column 3: missing_column'
    )
    with pytest.raises(TaskFailed, match=r"22012.*at line|division by zero \(SQLSTATE 22012\)"):
        await run(Query, ctx, **where, sql="SELECT 1/0")


async def test_after_sql_shares_the_transaction(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    await admin.execute("CREATE TABLE t (id int, seen bool DEFAULT false); INSERT INTO t VALUES (1), (2)")
    sql = "SELECT id FROM t WHERE NOT seen"
    outputs = await run(Query, ctx, **where, sql=sql, afterSQL="UPDATE t SET seen = true;", fetchType="FETCH")
    assert outputs["size"] == 2
    assert await admin.fetchval("SELECT count(*) FROM t WHERE seen") == 2
    with pytest.raises(TaskFailed, match=r"property `afterSQL`: .*SQLSTATE 42P01"):
        await run(Query, ctx, **where, sql="DELETE FROM t", afterSQL="UPDATE nowhere SET x = 1")
    assert await admin.fetchval("SELECT count(*) FROM t") == 2


async def test_query_refuses_several_statements(ctx: TestContext, where: dict[str, Any]) -> None:
    with pytest.raises(TaskFailed, match=r"holds 2 statements .*line 2.*jdbc\.postgresql\.Queries runs several"):
        await run(Query, ctx, **where, sql="SELECT 1;\nSELECT 2")


async def test_queries_run_in_one_transaction(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    sql = """
    CREATE TABLE t (id int);
    INSERT INTO t VALUES (:id), (5);
    SELECT id FROM t ORDER BY id; -- a comment; with a semicolon
    SELECT count(*) AS n FROM t;
    """
    outputs = await run(Queries, ctx, **where, sql=sql, parameters={"id": 1}, fetchType="FETCH")
    assert outputs == {"outputs": [{"rows": [{"id": 1}, {"id": 5}], "size": 2}, {"rows": [{"n": 2}], "size": 1}]}
    with pytest.raises(TaskFailed, match=r"22012.*; in the statement on line 3"):
        await run(Queries, ctx, **where, sql="\nDELETE FROM t;\nSELECT 1/0")
    assert await admin.fetchval("SELECT count(*) FROM t") == 2
    with pytest.raises(TaskFailed):
        await run(Queries, ctx, **where, sql="DELETE FROM t; SELECT 1/0", transaction=False)
    assert await admin.fetchval("SELECT count(*) FROM t") == 0


async def test_queries_store_each_result_in_a_file_of_its_own(ctx: TestContext, where: dict[str, Any]) -> None:
    outputs = await run(Queries, ctx, **where, sql="SELECT 1 AS a; SELECT 2 AS a", fetchType="STORE")
    found = [await ctx.storage.read(entry["uri"]) for entry in outputs["outputs"]]
    assert found == [b'{"a":1}\n', b'{"a":2}\n']


async def test_cancelling_the_task_cancels_the_statement(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    running = asyncio.create_task(run(Query, ctx, **where, sql="SELECT pg_sleep(60)"))
    active = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
    while not await admin.fetchval(active):
        assert not running.done()
        await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(5):
        while await admin.fetchval(active):  # noqa: ASYNC110 - the server has no event to wait for
            await asyncio.sleep(0.01)
    assert (await run(Query, ctx, **where, sql="SELECT 1 AS a", fetchType="FETCH_ONE"))["row"] == {"a": 1}


async def test_connections_are_kept_up_to_the_cap(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    mine = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'levada' AND datname = current_database()"
    tasks = [run(Query, ctx, **where, sql="SELECT pg_sleep(0.05)", connectionPoolSize=2) for _ in range(6)]
    await asyncio.gather(*tasks)
    assert await admin.fetchval(mine) == 2
    await run(Query, ctx, **where, sql="SELECT 1", connectionPooling=False)
    assert await admin.fetchval(mine) == 2


async def test_a_connection_that_died_is_replaced(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    await run(Query, ctx, **where, sql="SELECT 1")
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'levada' AND datname = current_database()"
    )
    await run(Query, ctx, **where, sql="SELECT 1")


async def test_a_connection_that_breaks_fails_the_task_only(
    ctx: TestContext, where: dict[str, Any], admin: Any
) -> None:
    running = asyncio.create_task(run(Query, ctx, **where, sql="SELECT pg_sleep(60)"))
    kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
    while not await admin.fetchval(kill):  # noqa: ASYNC110 - the server has no event to wait for
        await asyncio.sleep(0.01)
    with pytest.raises(TaskFailed, match=r"57P01|connection was closed"):
        await running
    await run(Query, ctx, **where, sql="SELECT 1")


async def test_a_database_out_of_reach_says_so(ctx: TestContext, where: dict[str, Any], unused_tcp_port: int) -> None:
    with pytest.raises(TaskFailed, match=f"cannot connect to 127.0.0.1:{unused_tcp_port}/x: "):
        await run(Query, ctx, url=f"jdbc:postgresql://127.0.0.1:{unused_tcp_port}/x", username="u", sql="SELECT 1")
    nowhere = where["url"].replace("/test_", "/nowhere_")
    with pytest.raises(TaskFailed, match=r"cannot connect to .*SQLSTATE 3D000"):
        await run(Query, ctx, **{**where, "url": nowhere}, sql="SELECT 1")
    with pytest.raises(TaskFailed, match="property `url` must look like jdbc:postgresql://"):
        await run(Query, ctx, url="jdbc:mysql://h/d", sql="SELECT 1")


async def test_the_time_zone_is_the_one_asked_for(ctx: TestContext, where: dict[str, Any]) -> None:
    sql = "SELECT to_char(TIMESTAMPTZ '2024-01-01 00:00Z', 'HH24') AS hour"
    row = await run(Query, ctx, **where, sql=sql, timeZoneId="Asia/Tokyo", fetchType="FETCH_ONE")
    assert row["row"] == {"hour": "09"}


async def test_copy_in_and_out_stream_whole_files(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    await admin.execute('CREATE SCHEMA s; CREATE TABLE s."Mixed" (id int, name text)')
    content = "id;name\n" + "".join(f"{n};name {n}\n" for n in range(20000))
    uri = await ctx.storage.put(content, "in.csv")
    options = {"table": 's."Mixed"', "format": "CSV", "header": True, "delimiter": ";", "columns": ["id", "name"]}
    assert await run(CopyIn, ctx, **where, **{"from": uri}, **options) == {"rowCount": 20000}
    assert ctx.metric("rows") == 20000
    outputs = await run(CopyOut, ctx, **where, **options)
    assert outputs["rowCount"] == 20000
    assert await ctx.storage.read(outputs["uri"]) == content.encode()
    outputs = await run(CopyOut, ctx, **where, sql="SELECT 1, NULL, 'a\"b';", format="CSV")
    assert await ctx.storage.read(outputs["uri"]) == b'1,,"a""b"\n'


async def test_copy_says_which_line_does_not_fit(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    await admin.execute("CREATE TABLE t (id int)")
    uri = await ctx.storage.put("1\nx\n", "in.txt")
    with pytest.raises(TaskFailed, match=r"22P02.*COPY t, line 2, column id"):
        await run(CopyIn, ctx, **where, **{"from": uri}, table="T")
    assert await admin.fetchval("SELECT count(*) FROM t") == 0
    with pytest.raises(TaskFailed, match="42P01"):
        await run(CopyOut, ctx, **where, table="nowhere")
    with pytest.raises(TaskFailed, match="either `table` or `sql`"):
        await run(CopyOut, ctx, **where)


async def _rows(ctx: TestContext, rows: list[Any]) -> str:
    return await ctx.storage.put("".join(json.dumps(row) + "\n" for row in rows), "rows.jsonl")


async def test_batch_writes_rows_with_placeholders(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    await admin.execute("CREATE TABLE t (id int primary key, name text, data jsonb, at timestamptz)")
    uri = await _rows(ctx, [{"id": n, "name": f"n{n}", "x": {"k": n}, "at": "2024-01-01T00:00:00Z"} for n in range(25)])
    sql = "INSERT INTO t VALUES (?, upper(?), ?, ?)"
    outputs = await run(Batch, ctx, **where, **{"from": uri}, sql=sql, chunk=10)
    assert outputs == {"rowCount": 25, "updatedCount": 25}
    assert ctx.metric("query") == 3
    assert await admin.fetchval("SELECT name || (data ->> 'k') FROM t WHERE id = 7") == "N77"
    outputs = await run(
        Batch,
        ctx,
        **where,
        **{"from": uri},
        sql="UPDATE t SET name = ? WHERE id = ? AND id > 20",
        columns=["name", "id"],
    )
    assert outputs == {"rowCount": 25, "updatedCount": 4}


async def test_batch_fills_a_table_by_the_keys_of_the_rows(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    await admin.execute("CREATE TABLE t (id int, \"Name\" text, other text DEFAULT 'd')")
    uri = await _rows(ctx, [{"ID": "1", "name": "a"}, {"ID": 2, "name": None}])
    await run(Batch, ctx, **where, **{"from": uri}, table="t")
    assert [tuple(row) for row in await admin.fetch("SELECT * FROM t ORDER BY 1")] == [(1, "a", "d"), (2, None, "d")]
    ion = await ctx.storage.put('{id:3,name:"c"}\n{id:4,name:null.string}\n', "rows.ion")
    await run(Batch, ctx, **where, **{"from": ion}, table="t")
    assert await admin.fetchval("SELECT count(*) FROM t") == 4


async def test_batch_keeps_the_chunks_before_a_failure(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    await admin.execute("CREATE TABLE t (id int primary key)")
    uri = await _rows(ctx, [[1], [2], [3], [1]])
    with pytest.raises(TaskFailed, match=r"rows 3 to 4: .*SQLSTATE 23505.*detail: Key \(id\)=\(1\) already exists"):
        await run(Batch, ctx, **where, **{"from": uri}, table="t", chunk=2)
    assert await admin.fetchval("SELECT count(*) FROM t") == 2
    with pytest.raises(TaskFailed, match=r"row 1, column id \(int4\): a whole number is needed, not 'x'"):
        await run(Batch, ctx, **where, **{"from": await _rows(ctx, [{"id": "x"}])}, table="t")
    with pytest.raises(TaskFailed, match="has no column 'nope'; it has id"):
        await run(Batch, ctx, **where, **{"from": await _rows(ctx, [{"nope": 1}])}, table="t")


async def test_the_trigger_fires_when_there_are_rows(ctx: TestContext, where: dict[str, Any], admin: Any) -> None:
    await admin.execute("CREATE TABLE t (id int)")
    properties = {**where, "sql": "SELECT id FROM t", "afterSQL": "DELETE FROM t"}
    trigger = convert(PostgresTrigger, properties)
    assert await trigger.poll(ctx) is None
    await admin.execute("INSERT INTO t VALUES (7)")
    fired = await trigger.poll(ctx)
    assert fired is not None
    assert (fired.rows, fired.size) == ([{"id": 7}], 1)
    assert await trigger.poll(ctx) is None
    stored = convert(PostgresTrigger, {**properties, "fetchType": "STORE"})
    assert await stored.poll(ctx) is None
    assert ctx.storage.objects == {}


async def test_bytes_travel_as_base64(ctx: TestContext, where: dict[str, Any]) -> None:
    given = base64.b64encode(b"\x00\xff").decode()
    sql = "SELECT length(:data::bytea) AS n, :data::bytea AS data"
    outputs = await run(Query, ctx, **where, sql=sql, parameters={"data": given}, fetchType="FETCH_ONE")
    assert outputs["row"] == {"n": 2, "data": given}
