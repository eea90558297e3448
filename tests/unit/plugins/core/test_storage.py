"""The storage tasks: whole files, lines, rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from levada.plugins.core.storage import lines
from levada.plugins.core.storage.files import (
    Concat,
    Delete,
    LocalFiles,
    PurgeCurrentExecutionFiles,
    PurgeStorage,
    Size,
    Write,
)
from levada.plugins.core.storage.items import DeduplicateItems, FilterItems
from levada.plugins.core.storage.lines import Reverse, Split
from levada.sdk import TaskFailed
from levada.sdk.testing import TestContext, run


@pytest.fixture
def ctx(tmp_path: Path) -> TestContext:
    return TestContext(tmp_path, variables={"limit": 2})


async def content(ctx: TestContext, uri: str) -> str:
    return (await ctx.storage.read(uri)).decode()


async def test_concat_puts_the_separator_behind_each_file(ctx: TestContext) -> None:
    uri = await ctx.storage.put("a", "a.txt")
    outputs = await run(Concat, ctx, files=f'["{uri}", "{uri}"]', separator="\\n", extension="yml")
    assert outputs["uri"].endswith(".yml")
    assert await content(ctx, outputs["uri"]) == "a\na\n"
    with pytest.raises(TaskFailed, match="property `files` must be a list of URIs"):
        await run(Concat, ctx, files={"a": 1})


async def test_write_size_and_delete(ctx: TestContext) -> None:
    uri = (await run(Write, ctx, content="größe {{ limit }}", extension=".txt"))["uri"]
    assert uri.endswith(".txt")
    assert await run(Size, ctx, uri=uri) == {"size": 9}
    assert await run(Delete, ctx, uri=uri) == {"uri": uri, "deleted": True}
    assert await run(Delete, ctx, uri=uri) == {"uri": uri, "deleted": False}
    with pytest.raises(TaskFailed, match="there is no file"):
        await run(Delete, ctx, uri=uri, errorOnMissing=True)


async def test_local_files_go_in_and_out(ctx: TestContext) -> None:
    uri = await ctx.storage.put("stored", "x")
    inputs = {"test/hello.txt": "Hello {{ limit }}", "test/sub/stored.txt": uri}
    outputs = await run(LocalFiles, ctx, inputs=inputs, outputs=["test/**"])
    assert await content(ctx, outputs["uris"]["test/hello.txt"]) == "Hello 2"
    assert await content(ctx, outputs["uris"]["test/sub/stored.txt"]) == "stored"


async def test_the_files_of_the_execution_are_purged(ctx: TestContext) -> None:
    mine = await ctx.storage.put("x", "mine")
    ctx.storage.objects["kestra:///company/team/flow/executions/other/x"] = b"x"
    assert await run(PurgeCurrentExecutionFiles, ctx) == {"uris": [mine]}
    assert len(ctx.storage.objects) == 1


async def test_purge_storage_asks_the_control_plane(ctx: TestContext) -> None:
    ctx.control.answers["storage.purge"] = {"scannedCount": 3, "purgedCount": 2, "deletedFilesCount": 5}
    outputs = await run(PurgeStorage, ctx, endDate="1970-01-01T00:00:01Z")
    assert outputs == {"scannedCount": 3, "purgedCount": 2, "deletedFilesCount": 5}
    assert ctx.control.calls[0][1]["endUs"] == 1_000_000
    assert ctx.control.calls[0][1]["dryRun"] is True
    assert ctx.metric("deleted.files") == 5


async def split(ctx: TestContext, text: str, **how: Any) -> list[str]:
    uri = await ctx.storage.put(text, "in.yml")
    outputs = await run(Split, ctx, **{"from": uri}, **how)
    assert all(part.endswith(".yml") for part in outputs["uris"])
    assert [path.name for path in ctx.working_dir.iterdir()] == []
    return [await content(ctx, part) for part in outputs["uris"]]


async def test_split_by_rows_and_bytes_cuts_at_line_ends(ctx: TestContext) -> None:
    text = "".join(f"{n:>20}\n" for n in range(12288))
    parts = await split(ctx, text, bytes="1KB")
    assert (len(parts), "".join(parts)) == (251, text)
    parts = await split(ctx, text, rows=1000)
    assert (len(parts), "".join(parts)) == (13, text)
    assert await split(ctx, "a;b;c", rows="2", separator=";") == ["a;b;", "c"]


async def test_split_deals_rows_out_and_groups_them(ctx: TestContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BUFFER_BYTES", 4)
    assert await split(ctx, "1\n2\n3\n4\n5\n", partitions=2) == ["1\n3\n5\n", "2\n4\n"]
    assert await split(ctx, "[a] 1\n[b] 2\nnone\n[a] 3\n", regexPattern=r"\[(\w)\]") == ["[a] 1\n[a] 3\n", "[b] 2\n"]
    assert ctx.messages("WARN") == ["1 rows do not match `regexPattern` and are in no part"]


async def test_split_says_what_is_missing(ctx: TestContext) -> None:
    with pytest.raises(TaskFailed, match="one of `rows`, `bytes`, `partitions` and `regexPattern`"):
        await split(ctx, "")
    with pytest.raises(TaskFailed, match="property `rows` must be at least 1"):
        await split(ctx, "", rows=0)
    with pytest.raises(TaskFailed, match="property `bytes` must be a size such as"):
        await split(ctx, "", bytes="many")
    with pytest.raises(TaskFailed, match="needs a group"):
        await split(ctx, "", regexPattern="a+")
    with pytest.raises(TaskFailed, match="no regular expression"):
        await split(ctx, "", regexPattern="(")


@pytest.mark.parametrize("block", [1, 3, 7, 1024])
async def test_reverse_turns_rows_around(ctx: TestContext, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK_BYTES", block)
    for text, separator, expected in [
        ("1\n2\n3\n", "\n", "3\n2\n1\n"),
        ("1\n\n22222222", "\\n", "22222222\n\n1\n"),
        ("a--b--", "--", "b--a--"),
        ("", "\n", ""),
        ("\n", "\n", "\n"),
        ("ab\n\n", "\n", "\nab\n"),
        ("\nab", "\n", "ab\n\n"),
    ]:
        uri = await ctx.storage.put(text, "in.txt")
        outputs = await run(Reverse, ctx, **{"from": uri}, separator=separator)
        assert await content(ctx, outputs["uri"]) == expected


async def test_reverse_refuses_an_unknown_charset(ctx: TestContext) -> None:
    with pytest.raises(TaskFailed, match="property `charset`"):
        await run(Reverse, ctx, **{"from": await ctx.storage.put("", "x")}, charset="UTF-9")


async def items(ctx: TestContext, rows: list[Any]) -> str:
    return await ctx.storage.put("".join(json.dumps(row) + "\n" for row in rows), "items.ion")


async def read(ctx: TestContext, uri: str) -> list[Any]:
    assert uri.endswith(".ion")
    return [json.loads(line) for line in (await content(ctx, uri)).splitlines()]


async def test_deduplication_keeps_the_last_row_of_a_key_in_its_place(ctx: TestContext) -> None:
    pairs = [("k1", "v1"), ("k2", "v1"), ("k3", "v1"), ("k1", "v2"), ("k2", None), ("k3", "v2"), ("k1", "v3")]
    uri = await items(ctx, [{"key": key, "value": value} for key, value in pairs])
    outputs = await run(DeduplicateItems, ctx, **{"from": uri}, expr=" {{ key }} ")
    assert [row["value"] for row in await read(ctx, outputs["uri"])] == [None, "v2", "v3"]
    assert (outputs["numKeys"], outputs["processedItemsTotal"], outputs["droppedItemsTotal"]) == (3, 7, 4)
    with pytest.raises(TaskFailed, match=r"row 1 of .*property `expr` cannot be rendered"):
        await run(DeduplicateItems, ctx, **{"from": uri}, expr="{{ nothing }}")


ROWS = [
    {"key": "k1", "value": 1},
    {"key": "k2", "value": "dummy"},
    {"key": "k3", "value": 3},
    {"key": "k4", "value": 4},
]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"errorOrNullBehavior": "INCLUDE"}, ["k2", "k4"]),
        ({"errorOrNullBehavior": "EXCLUDE"}, ["k4"]),
        ({"errorOrNullBehavior": "EXCLUDE", "filterType": "EXCLUDE"}, ["k1", "k3"]),
    ],
)
async def test_filtering_by_a_condition(ctx: TestContext, how: dict[str, str], expected: list[str]) -> None:
    uri = await items(ctx, ROWS)
    outputs = await run(FilterItems, ctx, **{"from": uri}, filterCondition=" {{ value % limit == 0 }} ", **how)
    assert [row["key"] for row in await read(ctx, outputs["uri"])] == expected
    assert (outputs["processedItemsTotal"], outputs["droppedItemsTotal"]) == (4, 4 - len(expected))


async def test_a_condition_that_fails_names_the_row(ctx: TestContext) -> None:
    uri = await items(ctx, ROWS)
    with pytest.raises(TaskFailed, match=r"row 2 of .*`filterCondition`"):
        await run(FilterItems, ctx, **{"from": uri}, filterCondition="{{ value % 2 == 0 }}")
    with pytest.raises(TaskFailed, match=r"must give true or false, but gives '1'"):
        await run(FilterItems, ctx, **{"from": uri}, filterCondition="{{ value }}")


async def test_ion_rows_are_read(ctx: TestContext) -> None:
    uri = await ctx.storage.put('{key:"k1",value:1,\'at\':2024-01-01T00:00:00Z}\n{key:"k2",value:null.int}\n', "x.ion")
    outputs = await run(FilterItems, ctx, **{"from": uri}, filterCondition="{{ value is null }}")
    assert await read(ctx, outputs["uri"]) == [{"key": "k2", "value": None}]
    bad = await ctx.storage.put('{"a": 1}\n{oops\n', "x.ion")
    with pytest.raises(Exception, match=r"line 2 of .* is neither JSON nor Ion"):
        await run(FilterItems, ctx, **{"from": bad}, filterCondition="true")
