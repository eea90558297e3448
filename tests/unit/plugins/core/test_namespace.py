"""Files go into a namespace and out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from levada.plugins.core.namespace import DeleteFiles, DownloadFiles, PurgeFiles, UploadFiles
from levada.sdk import TaskFailed
from levada.sdk.testing import TestContext, run


@pytest.fixture
def ctx(tmp_path: Path) -> TestContext:
    return TestContext(tmp_path)


async def test_a_map_of_files_is_uploaded_below_the_destination(ctx: TestContext) -> None:
    uri = await ctx.storage.put("one", "one.txt")
    outputs = await run(UploadFiles, ctx, namespace="company", filesMap={"/path/file.txt": uri}, destination="/folder")
    assert outputs == {"files": {"/folder/path/file.txt": uri}}
    assert await ctx.namespace_files.read("company", "folder/path/file.txt") == b"one"


async def test_globs_take_files_of_the_working_directory(ctx: TestContext) -> None:
    (ctx.working_dir / "a.sql").write_text("select 1")
    await run(UploadFiles, ctx, namespace="company", files=["*.sql"])
    assert await ctx.namespace_files.list("company") == ["a.sql"]
    with pytest.raises(TaskFailed, match=r"no file of the working directory matches \*\.csv"):
        await run(UploadFiles, ctx, namespace="company", files=["*.csv"])


async def test_a_conflict_is_solved_as_asked(ctx: TestContext) -> None:
    await ctx.namespace_files.put("company", "f.txt", b"old")
    upload = {"namespace": "company", "filesMap": {"f.txt": await ctx.storage.put("new", "x")}}
    with pytest.raises(TaskFailed, match=r"f\.txt of company exists and `conflict` is ERROR"):
        await run(UploadFiles, ctx, **upload, conflict="ERROR")
    assert await run(UploadFiles, ctx, **upload, conflict="SKIP") == {"files": {}}
    assert await ctx.namespace_files.read("company", "f.txt") == b"old"
    await run(UploadFiles, ctx, **upload)
    assert await ctx.namespace_files.read("company", "f.txt") == b"new"


async def test_nothing_leaves_the_namespace(ctx: TestContext) -> None:
    with pytest.raises(TaskFailed, match="leaves the namespace"):
        await run(UploadFiles, ctx, namespace="company", filesMap={"../../x": "kestra:///x"})
    with pytest.raises(TaskFailed, match="nothing to upload"):
        await run(UploadFiles, ctx, namespace="company")


async def test_downloads_and_deletes_go_by_globs(ctx: TestContext) -> None:
    for path in ("a/b/test1.txt", "a/b/test2.txt", "top.md"):
        await ctx.namespace_files.put("company", path, path.encode())
    outputs = await run(DownloadFiles, ctx, namespace="company", files=["**test1.txt"])
    assert list(outputs["files"]) == ["/a/b/test1.txt"]
    assert await ctx.storage.read(outputs["files"]["/a/b/test1.txt"]) == b"a/b/test1.txt"
    outputs = await run(DeleteFiles, ctx, namespace="company", files="a/**/*.txt")
    assert sorted(outputs["files"]) == ["/a/b/test1.txt", "/a/b/test2.txt"]
    assert await ctx.namespace_files.list("company") == ["top.md"]


async def test_there_are_no_old_versions_to_purge(ctx: TestContext) -> None:
    ctx.control.answers["namespaces.list"] = []
    assert await run(PurgeFiles, ctx, behavior={"type": "version", "keepAmount": 3}) == {"size": 0}
